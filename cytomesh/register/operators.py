"""The Laplacian of a mesh, and what it smooths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from cytomesh.surface.mesh import Mesh, cotangents

Floats = NDArray[np.float64]
LEAST_WEIGHT, LARGEST_WEIGHT = 1e-2, 1e2
"""Of an edge. Negative cotangents, of obtuse triangles, would let values grow that are to be smoothed."""


def stiffness(mesh: Mesh) -> sp.csc_matrix:
    """Return the cotangent Laplacian, (n, n), positive semidefinite, without unit (Meyer et al. 2003, eq. 8)."""
    n = mesh.n_vertices
    rows, columns, weights = [], [], []
    for i, j, cotangent in cotangents(mesh):
        rows += [i, j]
        columns += [j, i]
        weights += [cotangent / 2.0] * 2
    pulls = sp.csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n))
    pulls.data = np.clip(pulls.data, LEAST_WEIGHT, LARGEST_WEIGHT)
    return (sp.diags(np.asarray(pulls.sum(axis=1)).ravel()) - pulls).tocsc()


class Heat:
    """Smoothing by the heat equation on a mesh: two implicit Euler steps, near a Gaussian of a given SD.

    Parameters
    ----------
    mesh : Mesh
    sd : float
        In the mesh's unit of length.
    """

    def __init__(self, mesh: Mesh, sd: float) -> None:
        self._areas = mesh.vertex_areas[:, None]
        # each step widens by sqrt(2 t); two make up the SD
        self._solve: Callable[[Floats], Floats] = splu(
            (sp.diags(self._areas[:, 0]) + sd**2 / 4.0 * stiffness(mesh)).tocsc()
        ).solve

    def __call__(self, values: Floats) -> Floats:
        """Smooth (n, k) values; their integral is kept."""
        for _ in range(2):
            values = self._solve(self._areas * values)
        return values
