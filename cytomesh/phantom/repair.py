"""Pull apart surfaces that touch: pial from white, and opposite banks from each other.

Both repairs work on samples (vertices and face centres) with normals, which is exact enough at the sample spacing of
about one millimetre, and leave vertex order and faces as they are.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.mesh import Mesh

MIN_THICKNESS_MM = 1.2
MIN_GAP_MM = 1.0
"""Opposite banks of the template are at least about this far apart; brains may bring them a little closer."""
SEARCH_MM = 2.5

Points = NDArray[np.float64]


def thicken(pial: Points, white: Points, faces: NDArray[np.int64], smooth: sp.csr_matrix) -> tuple[Points, Points]:
    """Push white inwards until it lies at least `MIN_THICKNESS_MM` below pial everywhere.

    Raises
    ------
    SurfaceError
        If some vertex stays too shallow.
    """
    for step in range(24):
        depth = depth_below(pial, faces, white)
        is_thin = depth < MIN_THICKNESS_MM
        if not is_thin.any():
            return pial, white
        if step >= 4:  # what pushing has not solved by now is a crease
            pial, white = (smooth_locally(points, is_thin, smooth, 4) for points in (pial, white))
        push = np.where(is_thin, np.minimum(MIN_THICKNESS_MM + 0.15 - depth, 0.6), 0.0)
        for _ in range(2):
            push = np.maximum(push, smooth @ push)
        for _ in range(2):
            push = np.maximum(push * is_thin, smooth @ push)
        white = white - Mesh(pial, faces).vertex_normals * push[:, None]
    raise SurfaceError("phantom template", found=f"{int(is_thin.sum())} vertices where pial and white still meet")


def separate_banks(
    pial: Points, white: Points, faces: NDArray[np.int64], smooth: sp.csr_matrix
) -> tuple[Points, Points]:
    """Move opposite pial banks towards white, and the two sides of a white blade towards pial, until both are apart.

    Raises
    ------
    SurfaceError
        If some banks stay closer than `MIN_GAP_MM`.
    """
    across_sulci, across_blades = opposite_pairs(pial, faces), opposite_pairs(white, faces)
    for step in range(80):
        is_closed = touching(pial, faces, across_sulci, side=1)
        is_blade = touching(white, faces, across_blades, side=-1)
        if not is_closed.any() and not is_blade.any():
            return pial, white
        inwards, outwards = _spread(is_closed, smooth), _spread(is_blade, smooth)
        pial, white = pial + inwards * (white - pial), white + outwards * (pial - white)
        if step >= 10 and step % 4 == 0:
            pial = smooth_locally(pial, is_closed, smooth, 2)
            white = smooth_locally(white, is_blade, smooth, 2)
    raise SurfaceError("phantom template", found=f"{int(is_closed.sum() + is_blade.sum())} vertices on touching banks")


def samples(points: Points, faces: NDArray[np.int64]) -> tuple[Points, Points]:
    """Return vertices and face centres with their outward normals, both (n + m, 3)."""
    mesh = Mesh(points, faces)
    centres = points[faces].mean(axis=1)
    return np.concatenate([points, centres]), np.concatenate([mesh.vertex_normals, mesh.face_normals])


def depth_below(points: Points, faces: NDArray[np.int64], queries: Points) -> NDArray[np.float64]:
    """Signed distance of each query below a surface, mm, positive inside, by the nearest sample's tangent plane."""
    positions, normals = samples(points, faces)
    _, nearest = cKDTree(positions).query(queries)
    return -np.einsum("ij,ij->i", queries - positions[nearest], normals[nearest])


def opposite_pairs(points: Points, faces: NDArray[np.int64], within_mm: float = SEARCH_MM) -> NDArray[np.int64]:
    """Return pairs of samples, (p, 2), that are near each other and face opposite ways."""
    positions, normals = samples(points, faces)
    pairs = cKDTree(positions).query_pairs(within_mm, output_type="ndarray")
    i, j = pairs.T
    return pairs[np.einsum("ij,ij->i", normals[i], normals[j]) < -0.3]


def touching(
    points: Points, faces: NDArray[np.int64], pairs: NDArray[np.int64], *, side: int, gap_mm: float = MIN_GAP_MM
) -> NDArray[np.bool_]:
    """Return which vertices, (n,) bool, face another bank within `gap_mm`, or have passed through it by up to 1.2 mm.

    `side` is 1 for a gap outside the surface (a sulcus) and -1 for one inside (a blade of white matter).
    """
    positions, normals = samples(points, faces)
    i, j = pairs.T
    step = positions[j] - positions[i]
    across = normals[i] - normals[j]
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    gap = side * np.einsum("ij,ij->i", step, across)
    along2 = np.einsum("ij,ij->i", step, step) - gap**2
    opposed = np.einsum("ij,ij->i", normals[i], normals[j]) < -0.3
    hits = pairs[opposed & (gap < gap_mm) & (gap > -1.2) & (along2 < 0.81)].ravel()
    is_hit = np.zeros(len(points), bool)
    is_hit[hits[hits < len(points)]] = True
    is_hit[faces[hits[hits >= len(points)] - len(points)]] = True
    return is_hit


def smooth_locally(points: Points, where: NDArray[np.bool_], smooth: sp.csr_matrix, steps: int) -> Points:
    """Smooth around the marked vertices, fading out over a few rings."""
    weight = where.astype(np.float64)
    for _ in range(3):
        weight = np.minimum(1.0, 8.0 * (smooth @ weight))
    weight = smooth @ (smooth @ weight)
    for _ in range(steps):
        points = points + weight[:, None] * (smooth @ points - points)
    return points


def _spread(mask: NDArray[np.bool_], smooth: sp.csr_matrix) -> NDArray[np.float64]:
    step = np.where(mask, 0.06, 0.0)
    for _ in range(2):
        step = np.maximum(step, smooth @ step)
    return np.asarray(smooth @ step)[:, None]
