"""Spin null: the labels rotated on the sphere, which keeps their sizes and neighbours but not their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cytomesh.classify.assemble import drop_small_areas, with_split
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.inputs import NodeInputs
from cytomesh.classify.models import make_classifier
from cytomesh.classify.splits import make_split
from cytomesh.core.learning import macro_f1
from cytomesh.core.progress import track
from cytomesh.graph.nulls import load_spheres, null_record, rotated_labels, rotations
from cytomesh.graph.storage import CortexGraph


def spin_null(
    spheres: Sequence[NDArray[np.float64]],
    graphs: Sequence[CortexGraph],
    n: int,
    seed: int,
    observed: dict[str, float],
    score: Callable[[list[NDArray[np.int32]]], dict[str, float]],
) -> dict[str, Any]:
    """Score n rotations of the labels.

    Parameters
    ----------
    observed : dict of str to float
        macro-F1 by evaluation side, with the labels where they are.
    score : callable
        From labels of all graphs to macro-F1 by evaluation side.

    Returns
    -------
    dict
        By side, see `null_record`.
    """
    spun = rotated_labels(spheres, graphs, rotations(n, seed))
    records = [score(labels) for labels in track(spun, "spin null", n)]
    by_side = {side: [record[side] for record in records if side in record] for side in observed}
    return {side: null_record(observed[side], values) for side, values in by_side.items() if values}


def label_null(
    run: Path,
    graphs: Sequence[CortexGraph],
    inputs: NodeInputs,
    settings: ClassifyConfig,
    splits: dict[str, Any],
) -> dict[str, Any]:
    """Train and score again with rotated labels, `settings.null.spins` times; returns what `spin_null` does.

    Parameters
    ----------
    splits : dict
        Scores with the labels where they are, by evaluation side.
    """
    spheres = load_spheres(run, graphs)
    observed = {side: split["mean"]["macro_f1"] for side, split in splits.items()}

    def score(labels: list[NDArray[np.int32]]) -> dict[str, float]:
        kept, _ = drop_small_areas(graphs, labels, settings)
        split = make_split(graphs, kept, settings.split, settings.seed)
        spun = with_split(inputs, graphs, kept, split, settings.model.edge_attributes)
        model = make_classifier(settings, spun.inputs.shape[1], spun.classes.size, torch.device("cpu"))
        model.fit(spun, settings.seed)
        predicted = model.probabilities(spun).argmax(axis=1)
        result = {}
        for side in observed:
            rows = spun.evaluated(side)
            if rows.any():
                result[side] = macro_f1(spun.targets[rows], predicted[rows])
        return result

    return spin_null(spheres, graphs, settings.null.spins, settings.seed, observed, score)
