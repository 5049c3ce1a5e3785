"""Surfaces that cross themselves or each other, drawn apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import self_intersections

N_RELAXATIONS = 20
N_SEPARATIONS = 20
SEPARATION, SEPARATION_GROWTH = 0.03, 1.25
"""First step back from a crossing as a share of the mean edge length, and its growth each round."""


def untangle(mesh: Mesh) -> Mesh:
    """Smooth a surface where it crosses itself, and only there, until it doesn't.

    Vertices of crossing triangles move to the mean of their neighbours (and, where that is not enough, their
    neighbours do, too): folded corners of a remeshed surface open within a few rounds. What is left after
    `N_RELAXATIONS` rounds is left to `draw_apart` and the checks.
    """
    adjacency = mesh.adjacency()
    n_neighbours = np.asarray(adjacency.sum(axis=1))
    among: NDArray[np.bool_] | None = None
    for round_ in range(N_RELAXATIONS):
        pairs = self_intersections(mesh, among)
        if not len(pairs):
            break
        is_moved = np.zeros(mesh.n_vertices, bool)
        is_moved[mesh.faces[pairs]] = True
        for _ in range(round_ // 4):
            is_moved |= adjacency @ is_moved.astype(np.float32) > 0
        vertices = np.where(is_moved[:, None], adjacency @ mesh.vertices / n_neighbours, mesh.vertices)
        mesh = Mesh(vertices, mesh.faces)
        among = np.asarray(is_moved[mesh.faces].any(axis=1)) | (False if among is None else among)
    return mesh


def draw_apart(
    middle: Mesh, to_pial: NDArray[np.float64], to_white: NDArray[np.float64]
) -> tuple[Mesh, Mesh, list[int]]:
    """Draw vertices of crossing triangles back along their field lines until nothing crosses.

    Triangles are flat where banks are curved: two banks closer than a triangle's sag cross though their field lines
    don't. The midsurface is far from touching itself, so a step back towards it always helps.
    """
    n = middle.n_vertices
    paths = np.concatenate([to_pial, to_white])
    lengths = np.linalg.norm(np.diff(paths, axis=1), axis=2).sum(axis=1)
    faces = np.concatenate([middle.faces, middle.faces + n])
    step = SEPARATION * np.linalg.norm(np.diff(middle.vertices[middle.edges], axis=1), axis=2).mean()
    share, ends = np.ones(2 * n), paths[:, -1].copy()
    history: list[int] = []
    among: NDArray[np.bool_] | None = None
    for _ in range(N_SEPARATIONS):
        pairs = self_intersections(Mesh(ends, faces), among)
        history.append(len(pairs))
        if not len(pairs):
            break
        is_moved = np.zeros(2 * n, bool)
        is_moved[faces[pairs]] = True
        share[is_moved] -= step / np.maximum(lengths[is_moved], step)
        np.maximum(share, 0.0, out=share)
        ends[is_moved] = _along(paths[is_moved], share[is_moved])
        step *= SEPARATION_GROWTH
        among = is_moved[faces[:, 0]] | is_moved[faces[:, 1]] | is_moved[faces[:, 2]]
    return Mesh(ends[:n], middle.faces), Mesh(ends[n:], middle.faces), history


def _along(paths: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    at = share * (paths.shape[1] - 1)
    low = np.minimum(at.astype(int), paths.shape[1] - 2)
    t = (at - low)[:, None]
    rows = np.arange(len(paths))
    return np.asarray(paths[rows, low] * (1 - t) + paths[rows, low + 1] * t)
