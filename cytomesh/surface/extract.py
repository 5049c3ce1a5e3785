"""Marching tetrahedra on the Freudenthal grid: closed manifolds with the topology of the digital object."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel

EDGE_MARGIN = 0.02
"""Crossings keep this share of a grid edge from its ends, so that no triangle collapses and no two sheets touch."""


def marching_tetrahedra(
    field: NDArray[np.float32], is_object: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Extract the boundary between object and background, placed where `field` crosses zero.

    Parameters
    ----------
    field : (ni, nj, nk) float32
        Positive inside. Where its sign disagrees with `is_object`, the latter wins and the crossing moves to the
        nearest admissible place.
    is_object : (ni, nj, nk) uint8
        1 inside; the outermost layer must be 0.

    Returns
    -------
    vertices : (n, 3) float64
        In voxel indices.
    faces : (m, 3) int64
        Counter-clockwise seen from outside.
    """
    corners, triangles = _tables()
    n_faces = _count_faces(is_object, corners, triangles)
    vertices, faces = _extract(field, is_object, corners, triangles, n_faces)
    return vertices, faces


@cache
def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return tetrahedra (6, 4) as cube-corner bit codes, and triangles (6, 16, 2, 3, 2) as corner pairs, -1 none."""
    corners = np.zeros((6, 4), np.int64)
    triangles = np.full((6, 16, 2, 3, 2), -1, np.int64)
    for t, order in enumerate(permutations(range(3))):
        codes = [0]
        for axis in order:
            codes.append(codes[-1] | 1 << axis)
        corners[t] = codes
        places = np.array([[code >> axis & 1 for axis in range(3)] for code in codes], float)
        for mask in range(1, 15):
            inside = [c for c in range(4) if mask >> c & 1]
            outside = [c for c in range(4) if not mask >> c & 1]
            if len(inside) == 2:
                (a, b), (c, d) = inside, outside
                loop = [(a, c), (b, c), (b, d), (a, d)]
                pieces = [[loop[0], loop[1], loop[2]], [loop[0], loop[2], loop[3]]]
            else:
                pieces = [[(c, d) for c in inside for d in outside]]
            outward = places[outside].mean(0) - places[inside].mean(0)
            for n, piece in enumerate(pieces):
                p = np.array([places[list(pair)].mean(0) for pair in piece])
                if np.cross(p[1] - p[0], p[2] - p[0]) @ outward < 0:
                    piece = piece[::-1]
                triangles[t, mask, n] = [sorted(pair) for pair in piece]
    return corners, triangles


@kernel
def _cube(is_object, i, j, k):  # type: ignore[no-untyped-def]
    """Which of the eight corners are object, one bit each."""
    cube = 0
    for c in range(8):
        cube |= is_object[i + (c & 1), j + (c >> 1 & 1), k + (c >> 2)] << c
    return cube


@kernel
def _tetrahedron(cube, corners, t):  # type: ignore[no-untyped-def]
    """Which of a tetrahedron's four corners are object, one bit each."""
    mask = 0
    for v in range(4):
        mask |= (cube >> corners[t, v] & 1) << v
    return mask


@kernel
def _count_faces(is_object, corners, triangles):  # type: ignore[no-untyped-def]
    ni, nj, nk = is_object.shape
    n = 0
    for i in range(ni - 1):
        for j in range(nj - 1):
            for k in range(nk - 1):
                cube = _cube(is_object, i, j, k)
                if cube == 0 or cube == 255:
                    continue
                for t in range(6):
                    mask = _tetrahedron(cube, corners, t)
                    for piece in range(2):
                        if triangles[t, mask, piece, 0, 0] >= 0:
                            n += 1
    return n


@kernel
def _extract(field, is_object, corners, triangles, n_faces):  # type: ignore[no-untyped-def]
    ni, nj, nk = is_object.shape
    faces = np.empty((n_faces, 3), np.int64)
    vertices = np.empty((n_faces // 2 + 1024, 3))
    # vertex numbers of the grid edges that start in the current and the next layer
    index = np.full((2, nj, nk, 8), -1, np.int64)
    n_vertices = 0
    n = 0
    for i in range(ni - 1):
        index[(i + 1) & 1] = -1
        for j in range(nj - 1):
            for k in range(nk - 1):
                cube = _cube(is_object, i, j, k)
                if cube == 0 or cube == 255:
                    continue
                for t in range(6):
                    mask = _tetrahedron(cube, corners, t)
                    for piece in range(2):
                        if triangles[t, mask, piece, 0, 0] < 0:
                            break
                        for corner in range(3):
                            a = corners[t, triangles[t, mask, piece, corner, 0]]
                            b = corners[t, triangles[t, mask, piece, corner, 1]]
                            ai, aj, ak = i + (a & 1), j + (a >> 1 & 1), k + (a >> 2)
                            vertex = index[ai & 1, aj, ak, b ^ a]
                            if vertex < 0:
                                bi, bj, bk = i + (b & 1), j + (b >> 1 & 1), k + (b >> 2)
                                s = crossing(field[ai, aj, ak], field[bi, bj, bk], is_object[ai, aj, ak])
                                if n_vertices == len(vertices):
                                    vertices = np.concatenate((vertices, np.empty_like(vertices)))
                                vertices[n_vertices, 0] = ai + s * (bi - ai)
                                vertices[n_vertices, 1] = aj + s * (bj - aj)
                                vertices[n_vertices, 2] = ak + s * (bk - ak)
                                vertex = n_vertices
                                index[ai & 1, aj, ak, b ^ a] = vertex
                                n_vertices += 1
                            faces[n, corner] = vertex
                        n += 1
    return vertices[:n_vertices].copy(), faces


@kernel
def crossing(first, second, is_first_inside):  # type: ignore[no-untyped-def]
    """Share of the way from `first` to `second` at which the field crosses zero, given which end is the inside."""
    inside, outside = (first, second) if is_first_inside else (second, first)
    inside, outside = max(inside, np.float32(0)), max(-outside, np.float32(0))
    s = inside / (inside + outside) if inside + outside > 0 else 0.5
    s = min(max(s, EDGE_MARGIN), 1 - EDGE_MARGIN)
    return s if is_first_inside else 1 - s
