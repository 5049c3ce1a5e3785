"""Spins: what lies where on the sphere after a random rotation, which keeps sizes and neighbours but not the place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.errors import GraphError
from cytomesh.core.random import generator
from cytomesh.graph.spheres import on_unit_sphere
from cytomesh.graph.storage import CortexGraph

MIRROR = np.diag([-1.0, 1.0, 1.0])
Rotation = NDArray[np.float64]


def rotations(n: int, seed: int) -> list[Rotation]:
    """Return n random rotations, uniform over SO(3): QR of Gaussian matrices with fixed signs.

    Examples
    --------
    >>> import numpy as np
    >>> turns = rotations(3, seed=0)
    >>> len(turns), bool(np.allclose(turns[0] @ turns[0].T, np.eye(3)))
    (3, True)
    """
    random = generator(seed, "spins")
    found = []
    for _ in range(n):
        orthogonal, upper = np.linalg.qr(random.standard_normal((3, 3)))
        rotation = orthogonal * np.sign(np.diag(upper))
        rotation[:, 0] *= np.sign(np.linalg.det(rotation))
        found.append(rotation)
    return found


def spin_sources(
    sphere: NDArray[np.float64], rotation: Rotation, nodes: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the node of the sphere that comes to lie at each of some nodes, (m,); by default at all.

    The spin test of Alexander-Bloch et al., On testing for spatial correspondence between maps of human brain structure
    and function, 2018: rotations keep the shape and the smoothness of areas and destroy their place.

    Parameters
    ----------
    sphere : (n, 3) float64
        Any radius, centred at 0.
    rotation : (3, 3) float64
    nodes : (m,) int64, optional

    Raises
    ------
    GraphError
        If the sphere or the rotation is none.

    Examples
    --------
    >>> import numpy as np
    >>> corners = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]])
    >>> quarter_turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # about z: x becomes y
    >>> spin_sources(corners, quarter_turn).tolist()
    [4, 0, 2, 1, 3, 5]
    """
    turn = np.asarray(rotation, np.float64)
    if turn.shape != (3, 3) or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-6):  # NaN, too
        raise GraphError("spin_sources", "rotation", found=str(turn.tolist()), expected="a (3, 3) rotation")
    return next(each_spin(np.asarray(sphere, np.float64), [turn], nodes))


def each_spin(
    sphere: NDArray[np.float64], turns: Iterable[Rotation], nodes: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield `spin_sources` of each rotation; the sphere's nodes are sorted into a tree once."""
    unit = on_unit_sphere(sphere)
    tree, here = cKDTree(unit), unit if nodes is None else unit[nodes]
    for rotation in turns:
        yield np.asarray(tree.query(here @ rotation)[1], np.int64)


def turn_of(rotation: Rotation, hemisphere: str) -> Rotation:
    """Return a rotation as a hemisphere turns by it: right ones mirrored."""
    return rotation if hemisphere == "L" else MIRROR @ rotation @ MIRROR


def spins_of_all(
    spheres: Sequence[NDArray[np.float64]], graphs: Sequence[CortexGraph], turns: Sequence[Rotation]
) -> Iterator[list[NDArray[np.int64]]]:
    """Yield, for each rotation, the `spin_sources` of every graph; right hemispheres turn mirrored."""
    each = [
        each_spin(sphere, [turn_of(turn, graph.hemisphere) for turn in turns])
        for sphere, graph in zip(spheres, graphs, strict=True)
    ]
    for _ in turns:
        yield [next(sources) for sources in each]


def rotated_labels(
    spheres: Sequence[NDArray[np.float64]], graphs: Sequence[CortexGraph], turns: Sequence[Rotation]
) -> Iterator[list[NDArray[np.int32]]]:
    """Yield, for each rotation, the labels of every graph that come to lie at its nodes.

    Nodes without an image link (the medial wall among them) stay unlabelled.
    """
    for sources in spins_of_all(spheres, graphs, turns):
        yield [
            np.where(graph.is_linked, graph.annotation[source], 0).astype(np.int32)
            for graph, source in zip(graphs, sources, strict=True)
        ]


def null_record(observed: float, spins: Sequence[float]) -> dict[str, Any]:
    """Return what a null says of a score: all values, mean, sd, p = (1 + spins as good or better) / (1 + spins)."""
    values = np.asarray(spins, np.float64)
    p = (1 + int((values >= observed).sum())) / (1 + values.size)
    sd = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return {"spins": values.tolist(), "mean": float(values.mean()), "sd": sd, "p": p}
