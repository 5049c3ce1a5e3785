"""Spin null: the labels rotated on the sphere, which keeps their sizes and neighbours but not their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import special_ortho_group

from cytomesh.core.errors import MissingStageError
from cytomesh.core.progress import track
from cytomesh.core.random import generator
from cytomesh.graph.storage import CortexGraph, graph_folder, load_surface

MIRROR = np.diag([-1.0, 1.0, 1.0])


def load_spheres(run: Path, graphs: Sequence[CortexGraph]) -> list[NDArray[np.float64]]:
    """Return each graph's spherical positions, (n, 3), on the unit sphere.

    Raises
    ------
    MissingStageError
        If a graph has no sphere.
    """
    spheres = []
    for graph in graphs:
        path = graph_folder(run, graph.name) / "sphere.surf.gii"
        if not path.is_file():
            hint = "a spin null needs spherical surfaces; leave null.spins at 0 without them"
            raise MissingStageError(path, found="no sphere", hint=hint)
        vertices = load_surface(run, graph.name, "sphere").vertices
        spheres.append(vertices / np.linalg.norm(vertices, axis=1, keepdims=True))
    return spheres


def rotated_labels(
    spheres: Sequence[NDArray[np.float64]], graphs: Sequence[CortexGraph], rotation: NDArray[np.float64]
) -> list[NDArray[np.int32]]:
    """Give every node the label of the node nearest to its rotated position; right hemispheres turn mirrored.

    Nodes without an image link (the medial wall among them) stay unlabelled.
    """
    labels = []
    for sphere, graph in zip(spheres, graphs, strict=True):
        turn = rotation if graph.hemisphere == "L" else MIRROR @ rotation @ MIRROR
        _, nearest = cKDTree(sphere).query(sphere @ turn.T)
        labels.append(np.where(graph.is_linked, graph.annotation[nearest], 0).astype(np.int32))
    return labels


def rotations(n: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield n random rotations, uniform over SO(3)."""
    random = generator(seed, "spin null")
    for _ in range(n):
        yield special_ortho_group.rvs(3, random_state=random)


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
    records = [
        score(rotated_labels(spheres, graphs, rotation)) for rotation in track(list(rotations(n, seed)), "spin null")
    ]
    result: dict[str, Any] = {}
    for side, value in observed.items():
        values = np.array([record[side] for record in records if side in record])
        if values.size:
            p = (1 + int((values >= value).sum())) / (1 + values.size)
            sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
            result[side] = {"spins": values.tolist(), "mean": float(values.mean()), "sd": sd, "p": p}
    return result
