"""Measures of a node that follow from the surfaces alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.mesh import Mesh


def mean_curvature(mesh: Mesh) -> NDArray[np.float64]:
    """Return the mean curvature of each vertex, (n,) 1/mm; positive where the surface bulges outward.

    Cotangent formula: 2 H n = sum_j (cot alpha_ij + cot beta_ij) (x_i - x_j) / (2 A_i) (Meyer et al., Discrete
    differential-geometry operators, 2003, eq. 8), with a third of the surrounding face area as A_i. A sphere of
    radius r has 1 / r. Isolated and degenerate vertices get 0.
    """
    n = mesh.n_vertices
    total = np.zeros((n, 3))
    for corner in range(3):
        apex, i, j = (mesh.faces[:, (corner + k) % 3] for k in range(3))
        to_i, to_j = mesh.vertices[i] - mesh.vertices[apex], mesh.vertices[j] - mesh.vertices[apex]
        double_area = np.linalg.norm(np.cross(to_i, to_j), axis=1)
        cotangent = np.einsum("mx,mx->m", to_i, to_j) / np.maximum(double_area, 1e-12)
        pull = cotangent[:, None] * (mesh.vertices[i] - mesh.vertices[j])
        for axis in range(3):
            total[:, axis] += np.bincount(i, pull[:, axis], n) - np.bincount(j, pull[:, axis], n)
    areas = mesh.vertex_areas
    laplacian = np.divide(total, 2.0 * areas[:, None], out=np.zeros_like(total), where=areas[:, None] > 1e-12)
    return np.asarray(0.5 * np.einsum("nx,nx->n", laplacian, mesh.vertex_normals), np.float64)
