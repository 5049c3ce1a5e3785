"""Would the parcels be the same from other sections? Split halves, per-node confidence, and what chance gives.

Two halves of the sections are parcellated on one mesh, and a mesh has a shape: methods that tile it give similar tiles
whatever the features are. The score of the halves therefore stands beside two nulls: pairs of parcellations that know
geometry alone, and parcels that the same method makes of random numbers in the place of the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.progress import log
from cytomesh.core.random import derived_seed
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.consensus import node_confidence, pair_scores
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.group import join_parts, parcellate_joint
from cytomesh.parcellate.joint import JointFeatures
from cytomesh.parcellate.split_half import MIN_SECTIONS, first_half, from_nodes, node_units, noise_features

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Replicates:
    """Further parcellations of one graph by the same method.

    Parameters
    ----------
    halves : tuple of pairs of (m,) int64
        From the one and from the other half of the sections; a pair a split.
    noise : tuple of pairs of (m, q) float64 and (m,) int64
        Random coordinates in the place of the features, and the parcels of the same method in them.
    facts : dict
        units ("sections" or "slabs") and n_units, what was divided.
    """

    halves: tuple[tuple[Labels, Labels], ...]
    noise: tuple[tuple[NDArray[np.float64], Labels], ...]
    facts: dict[str, Any]

    @property
    def noise_labels(self) -> tuple[Labels, ...]:
        """The parcels of random numbers, (m,) int64 each."""
        return tuple(labels for _, labels in self.noise)


def half_joints(
    graphs: Sequence[CortexGraph], parts: Sequence[NodeFeatures], split: int, settings: ParcellateConfig
) -> tuple[JointFeatures, JointFeatures]:
    """Return the joined features of a group from the one and from the other half of each graph's sections."""
    sides: tuple[list[NodeFeatures], list[NodeFeatures]] = ([], [])
    for graph, part in zip(graphs, parts, strict=True):
        units, _ = node_units(graph, part)
        is_first = first_half(units, split, settings.seed)
        sides[0].append(from_nodes(part, is_first, settings.preparation))
        sides[1].append(from_nodes(part, (units >= 0) & ~is_first, settings.preparation))
    return join_parts(graphs, sides[0], settings), join_parts(graphs, sides[1], settings)


def noise_joint(
    graphs: Sequence[CortexGraph], parts: Sequence[NodeFeatures], number: int, settings: ParcellateConfig
) -> JointFeatures:
    """Return the joined graphs of a group with random numbers in the place of their features."""
    random = [
        noise_features(part, settings.preparation, derived_seed(settings.seed, graph.name, number))
        for graph, part in zip(graphs, parts, strict=True)
    ]
    return join_parts(graphs, random, settings)


def is_divisible(graphs: Sequence[CortexGraph], parts: Sequence[NodeFeatures]) -> bool:
    """Return whether every graph has at least four sections (or slabs) to divide."""
    units = [node_units(graph, part)[0] for graph, part in zip(graphs, parts, strict=True)]
    return all(int(numbers.max()) + 1 >= MIN_SECTIONS for numbers in units)


def make_replicates(
    graphs: Sequence[CortexGraph], parts: Sequence[NodeFeatures], k: int, settings: ParcellateConfig, source: str
) -> list[Replicates] | None:
    """Parcellate a group again from halves of its sections, with other seeds, and from noise.

    Parameters
    ----------
    parts : sequence of NodeFeatures
        Selected and smoothed nodes of each graph, not whitened.

    Returns
    -------
    list of Replicates, one per graph; None if it is not wanted, or a graph is too small to be divided.
    """
    wanted = settings.evaluation.stability
    if not wanted.splits:
        return None
    if not is_divisible(graphs, parts):
        log(f"{source}: fewer than {MIN_SECTIONS} sections or slabs: no stability")
        return None

    def parcels_of(joint: JointFeatures, purpose: str, number: int) -> tuple[Labels, ...]:
        other = settings.model_copy(update={"seed": derived_seed(settings.seed, purpose, number)})
        return parcellate_joint(joint, k, other, source).labels

    halves = []
    for split in range(wanted.splits):
        one, two = half_joints(graphs, parts, split, settings)
        halves.append((parcels_of(one, "half", 2 * split), parcels_of(two, "half", 2 * split + 1)))
    noise = []
    for number in range(wanted.nulls):
        random = noise_joint(graphs, parts, number, settings)
        labels = parcels_of(random, "noise", number)
        noise.append([(part.values, own) for part, own in zip(random.parts, labels, strict=True)])
    result = []
    for i, (graph, part) in enumerate(zip(graphs, parts, strict=True)):
        units, kind = node_units(graph, part)
        facts = {"units": kind, "n_units": int(units.max()) + 1, "n_splits": wanted.splits}
        pairs = tuple((one[i], two[i]) for one, two in halves)
        result.append(Replicates(pairs, tuple(some[i] for some in noise), facts))
    return result


def stability_scores(parcels: Labels, replicates: Replicates, tilings: Sequence[Labels]) -> dict[str, Any]:
    """Score the halves against each other, and the parcels against the halves, beside the nulls.

    Parameters
    ----------
    parcels : (m,) int64
    tilings : sequence of (m,) int64
        Geometry-only parcels of the same number (`nulls.Nulls.tilings`).

    Returns
    -------
    dict
        halves: ami, ari and co_assignment of the two halves; parcels: the same of the parcels and each half, whose
        co_assignment is the mean of the confidence. See `beside_nulls` for what each holds.
    """
    own = {
        "": [pair_scores(parcels, half) for pair in replicates.halves for half in pair],
        "geometry": [pair_scores(parcels, tiling) for tiling in tilings],
        "noise": [pair_scores(parcels, other) for other in replicates.noise_labels],
    }
    return {**replicates.facts, "halves": halves_scores(replicates, tilings), "parcels": beside_nulls(own)}


def halves_scores(replicates: Replicates, tilings: Sequence[Labels] = ()) -> dict[str, dict[str, float]]:
    """Score the halves against each other, beside the nulls: see `beside_nulls`."""
    every_half = [half for pair in replicates.halves for half in pair]
    rows = {
        "": [pair_scores(one, two) for one, two in replicates.halves],
        "geometry": [pair_scores(one, two) for one, two in pairwise(tilings)],
        "noise": [pair_scores(half, other) for half in every_half for other in replicates.noise_labels],
    }
    return beside_nulls(rows)


def confidence(parcels: Labels, replicates: Replicates) -> NDArray[np.float64]:
    """Return, for each node, how much of its parcel comes back in the halves, (m,) in 0..1."""
    return node_confidence(parcels, [half for pair in replicates.halves for half in pair])


def beside_nulls(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Set the mean of each score beside that of every null.

    Parameters
    ----------
    rows : mapping from str to sequence of scores
        "": the scores; under any other name those of a null.

    Returns
    -------
    dict
        By score: score, and for each null with rows <null>_mean, over_<null> and, of two or more, <null>_sd. Scores
        that some row lacks are left out.
    """
    result = {}
    known = [set(row) for some in rows.values() for row in some]
    for name in sorted(set.intersection(*known)) if known else []:
        entry = {"score": float(np.mean([row[name] for row in rows[""]]))}
        for kind, null in rows.items():
            if not kind or not null:
                continue
            values = np.array([row[name] for row in null])
            entry[f"{kind}_mean"] = float(values.mean())
            entry[f"over_{kind}"] = entry["score"] - entry[f"{kind}_mean"]
            if len(values) > 1:
                entry[f"{kind}_sd"] = float(values.std(ddof=1))
        result[name] = entry
    return result
