"""Spin null: the labels rotated on the sphere, which keeps their sizes and neighbours but not their place."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from cytomesh.classify.assemble import split_nodes, with_split
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.evaluation import MAPS, baseline_predictions
from cytomesh.classify.inputs import NodeInputs
from cytomesh.classify.models import make_classifier
from cytomesh.classify.prior import RegisteredPrior
from cytomesh.core.learning import macro_f1
from cytomesh.core.progress import track
from cytomesh.graph.neighbourhoods import Floats
from cytomesh.graph.nulls import null_record, rotated_labels, rotations
from cytomesh.graph.storage import CortexGraph

K = TypeVar("K", bound=Hashable)
MODEL = ""
"""In the place of a baseline's name."""


def spin_null(
    spheres: Sequence[NDArray[np.float64]],
    graphs: Sequence[CortexGraph],
    n: int,
    seed: int,
    observed: Mapping[K, float],
    score: Callable[[list[NDArray[np.int32]]], dict[K, float]],
) -> dict[K, dict[str, Any]]:
    """Score n rotations of the labels.

    Parameters
    ----------
    observed : mapping to float
        macro-F1, by evaluation side or what else is told apart, with the labels where they are.
    score : callable
        From labels of all graphs to macro-F1, by the same.

    Returns
    -------
    dict
        By the same, see `null_record`.
    """
    spun = rotated_labels(spheres, graphs, rotations(n, seed))
    records = [score(labels) for labels in track(spun, "spin null", n)]
    values = {key: [record[key] for record in records if key in record] for key in observed}
    return {key: null_record(observed[key], of_key) for key, of_key in values.items() if of_key}


def label_null(
    spheres: Sequence[NDArray[np.float64]],
    graphs: Sequence[CortexGraph],
    inputs: NodeInputs,
    settings: ClassifyConfig,
    splits: dict[str, Any],
    places: Floats | None,
) -> dict[str, Any]:
    """Train and score again with rotated labels, `settings.null.spins` times.

    Returns what `spin_null` does, by side, and in each under `baselines` mean and SD of those that learn from labels.

    Parameters
    ----------
    spheres : sequence of (n, 3) float64
        Spherical positions of each graph's nodes.
    splits : dict
        Scores with the labels where they are, by evaluation side.
    places : (n, 3) float32, optional
        Of all nodes on the registered sphere.
    """
    observed = {(side, MODEL): split["mean"]["macro_f1"] for side, split in splits.items()}
    for side, split in splits.items():
        observed |= {(side, name): f1 for name, f1 in split["baselines"].items() if name != MAPS}

    def score(labels: list[NDArray[np.int32]]) -> dict[tuple[str, str], float]:
        kept, split, _ = split_nodes(graphs, labels, settings)
        spun = with_split(inputs, graphs, kept, split, settings.one_model.edge_attributes, places)
        prior = RegisteredPrior.if_placed(spun, settings.prior.sd_deg)
        model = make_classifier(settings, spun.inputs.shape[1], spun.classes.size, torch.device("cpu"), prior)
        model.fit(spun, settings.seed)
        named = baseline_predictions(spun, graphs, prior)
        named[MODEL] = model.probabilities(spun).argmax(axis=1)
        result = {}
        for side, name in observed:
            rows = spun.evaluated(side)
            if rows.any():
                result[side, name] = macro_f1(spun.targets[rows], named[name][rows])
        return result

    found = spin_null(spheres, graphs, settings.null.spins, settings.seed, observed, score)
    records: dict[str, Any] = {}
    for (side, name), record in found.items():
        if name == MODEL:
            records[side] = record | {"baselines": {}}
        else:
            records[side]["baselines"][name] = {key: record[key] for key in ("mean", "sd")}
    return records
