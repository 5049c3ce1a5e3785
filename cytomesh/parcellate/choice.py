"""Which of a few methods: the one whose parcels come back best from other sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cytomesh.core.progress import log, track
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import ParcellateConfig, StabilityConfig
from cytomesh.parcellate.count import choose_count
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.group import join_parts
from cytomesh.parcellate.joint import JointFeatures
from cytomesh.parcellate.stability import Replicates, halves_scores, make_replicates

Group = tuple[Sequence[CortexGraph], Sequence[NodeFeatures]]
"""Graphs that are parcellated together, with their selected and smoothed nodes, not whitened."""


def best_method(groups: Sequence[Group], settings: ParcellateConfig) -> tuple[str, list[dict[str, Any]]]:
    """Return the method of `settings.methods` whose halves agree best, and what each scored; no area is read.

    A method that tiles the mesh whatever the features are makes halves that agree, too: what counts is how much more
    the two halves agree (adjusted mutual information, AMI) than either does with the parcels that the same method makes
    of random numbers; the mean over all graphs, one split of the sections each. The first of equal methods is taken,
    and the first of all where no group has enough sections to divide.

    Returns
    -------
    method : str
    records : list of dict
        `method`, and `halves_ami_over_noise` unless nothing could be divided.
    """
    records: list[dict[str, Any]] = []
    evaluation = settings.evaluation.model_copy(update={"stability": StabilityConfig(splits=1, nulls=1)})
    joints = [join_parts(graphs, parts, settings) for graphs, parts in groups]
    for method in track(settings.methods, "methods", unit="methods"):
        own = settings.model_copy(update={"method": method, "evaluation": evaluation})
        replicates = [
            one for group, joint in zip(groups, joints, strict=True) for one in _replicates(group, joint, own)
        ]
        found = [halves_scores(one)["ami"]["over_noise"] for one in replicates]
        records.append({"method": method, **({"halves_ami_over_noise": float(np.mean(found))} if found else {})})
    scores = [record.get("halves_ami_over_noise", 0.0) for record in records]
    best = settings.methods[int(np.argmax(scores))]
    said = ", ".join(f"{name} {score:.3f}" for name, score in zip(settings.methods, scores, strict=True))
    log(f"parcellate: {best} is chosen, as its parcels of half the sections each agree best (AMI above chance: {said})")
    return best, records


def _replicates(group: Group, joint: JointFeatures, settings: ParcellateConfig) -> list[Replicates]:
    graphs, parts = group
    source = f"{', '.join(graph.name for graph in graphs)} ({settings.one_method})"
    count = choose_count(joint, graphs, parts, settings, source)
    return make_replicates(graphs, parts, count.k, settings, source) or []
