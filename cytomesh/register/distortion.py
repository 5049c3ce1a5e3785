"""How much a map stretches triangles: an energy without flips at its minimum, and the stretch that users read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytomesh.surface.mesh import Mesh, unit

Points = NDArray[np.float64]
N_UNFOLDINGS = 50


class SphereDistortion:
    """Symmetric Dirichlet energy of a map from a surface to the unit sphere: 0 where it keeps all lengths.

    E = 1 / A sum_t A_t (s1^2 + s2^2 + 1 / s1^2 + 1 / s2^2 - 4), with the singular values s1, s2 of the map on triangle
    t (Smith and Schaefer, Bijective parameterization with free boundaries, ACM TOG 34, 2015). The surface is scaled to
    the sphere's area first. For s1 s2 stands the triangle's signed area ratio d, seen along the radius and outward
    positive: 0 where it is about to flip, and E infinite. d is replaced by (d + sqrt(e^2 + d^2)) / 2, so that maps with
    flipped triangles have a finite energy, too, which drives them apart (Garanzha et al., Foldover-free maps in 50
    lines of code, ACM TOG 40, 2021); with e = 0 they have none.

    Parameters
    ----------
    surface : Mesh
    device : torch.device
    """

    def __init__(self, surface: Mesh, device: torch.device) -> None:
        flat = flat_edges(surface, np.sqrt(4.0 * np.pi / surface.area_mm2))
        inverse = np.linalg.inv(flat)
        areas = 0.5 * np.linalg.det(flat)
        self._faces = torch.as_tensor(surface.faces, device=device)
        self._inverse = torch.as_tensor(inverse, device=device)
        self._shares = torch.as_tensor(areas / areas.sum(), device=device)

    def __call__(self, positions: Tensor, smoothing: float = 0.0) -> Tensor | None:
        """Return the energy at (n, 3) directions; without `smoothing`, None if a triangle is flipped."""
        jacobian, signed = self._jacobian(torch.nn.functional.normalize(positions, dim=1))
        if smoothing == 0.0 and bool((signed <= 0).any()):
            return None
        return symmetric_dirichlet(jacobian, 0.5 * (signed + (smoothing**2 + signed**2).sqrt()), self._shares)

    def smallest(self, positions: Tensor) -> float:
        """Return the least signed area ratio of a triangle: not positive if one is flipped."""
        return float(self._jacobian(positions)[1].min())

    def _jacobian(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c = (positions[self._faces[:, corner]] for corner in range(3))
        jacobian = jacobians(a, b, c, self._inverse)
        middle = torch.nn.functional.normalize(a + b + c, dim=1)
        return jacobian, (torch.linalg.cross(jacobian[..., 0], jacobian[..., 1]) * middle).sum(1)


def jacobians(a: Tensor, b: Tensor, c: Tensor, inverse: Tensor) -> Tensor:
    """Return the derivative of a map on each triangle, (m, 3, 2), from where its corners, (m, 3), come to lie.

    `inverse`, (m, 2, 2), is that of its `flat_edges`.
    """
    return torch.stack([b - a, c - a], dim=2) @ inverse


def symmetric_dirichlet(jacobian: Tensor, area: Tensor, shares: Tensor) -> Tensor:
    """Return the energy of `SphereDistortion` from derivatives, (m, 3, 2), area ratios and shares of area, (m,)."""
    return (shares * ((jacobian**2).sum((1, 2)) * (1.0 + area**-2) - 4.0)).sum()


def is_flipped(sphere: Points, faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which triangles of a spherical mesh, (m,), look inward."""
    a, b, c = (sphere[faces[:, corner]] for corner in range(3))
    return np.asarray(np.einsum("ij,ij->i", np.cross(a, b), c) <= 0)


def unfolded(sphere: Points, faces: NDArray[np.int64]) -> Points:
    """Move the corners of a few flipped triangles between their neighbours, again and again, until none is flipped.

    What a piecewise linear map of a coarser mesh leaves of them is mended so.

    Parameters
    ----------
    sphere : (n, 3) float64
        Unit vectors.
    faces : (m, 3) int64

    Returns
    -------
    (n, 3) float64
        As given where it cannot be mended.
    """
    neighbours = Mesh(sphere, faces).adjacency().astype(np.float64)
    found = sphere.copy()
    for _ in range(N_UNFOLDINGS):
        wrong = faces[is_flipped(found, faces)]
        if not len(wrong):
            return found
        corners = np.unique(wrong)
        found[corners] = unit(neighbours[corners] @ found)
    return sphere


def stretch(surface: Mesh, sphere: Points) -> dict[str, float]:
    """Say how much a map to a sphere stretches a surface, after both have the same area.

    Parameters
    ----------
    surface : Mesh
    sphere : (n, 3) float64
        Its vertices on a sphere of any radius.

    Returns
    -------
    dict
        Means over the surface's area: `area_log2` (|log2 s1 s2|, 1 for twice or half the area), `shape_log2`
        (log2 s1 / s2, 1 for twice as long as wide), and over edges: `edge_share` (|length / length before - 1|).
        `flipped`: triangles.
    """
    there = unit(np.asarray(sphere, np.float64))
    scale = np.sqrt(4.0 * np.pi / surface.area_mm2)
    a, b, c = (there[surface.faces[:, corner]] for corner in range(3))
    singular = np.linalg.svd(
        np.stack([b - a, c - a], axis=2) @ np.linalg.inv(flat_edges(surface, scale)), compute_uv=False
    )
    s1, s2 = np.maximum(singular, 1e-12).T
    weights = surface.face_areas / surface.area_mm2
    i, j = surface.edges.T
    before = scale * np.linalg.norm(surface.vertices[i] - surface.vertices[j], axis=1)
    after = np.linalg.norm(there[i] - there[j], axis=1)
    return {
        "area_log2": float((weights * np.abs(np.log2(s1 * s2))).sum()),
        "shape_log2": float((weights * np.log2(s1 / s2)).sum()),
        "edge_share": float(np.abs(after / np.maximum(before, 1e-12) - 1.0).mean()),
        "flipped": int(is_flipped(there, surface.faces).sum()),
    }


def flat_edges(surface: Mesh, scale: float) -> Points:
    """Return two edges of each triangle in its own plane as columns, (m, 2, 2); none is degenerate."""
    a, b, c = (scale * surface.vertices[surface.faces[:, corner]] for corner in range(3))
    one, two = b - a, c - a
    # a sliver counts as a triangle of 1/1000 of the mean height
    least = 1e-3 * np.sqrt(4.0 * np.pi / surface.n_faces)
    length = np.maximum(np.linalg.norm(one, axis=1), least)
    along = np.einsum("ij,ij->i", one, two) / length
    height = np.maximum(np.linalg.norm(np.cross(one, two), axis=1) / length, least)
    return np.stack([np.stack([length, along], axis=1), np.stack([np.zeros_like(along), height], axis=1)], axis=1)
