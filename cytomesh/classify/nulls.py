"""Spin null: the labels rotated on the sphere, which keeps their sizes and neighbours but not their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.progress import track
from cytomesh.graph.nulls import rotated_labels, rotations
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
        By side: spins (all values), mean, sd, p = (1 + number of spins as good or better) / (1 + n).
    """
    records = [score(rotated_labels(spheres, graphs, rotation)) for rotation in track(rotations(n, seed), "spin null")]
    result: dict[str, Any] = {}
    for side, value in observed.items():
        values = np.array([record[side] for record in records if side in record])
        if values.size:
            p = (1 + int((values >= value).sum())) / (1 + values.size)
            sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
            result[side] = {"spins": values.tolist(), "mean": float(values.mean()), "sd": sd, "p": p}
    return result
