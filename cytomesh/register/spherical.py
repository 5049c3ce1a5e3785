"""Where on a spherical mesh a direction hits, and values there."""

from __future__ import annotations

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.register.distortion import Points
from cytomesh.surface.mesh import Mesh, unit

N_CANDIDATES = (6, 60)
SLACK = 1e-9


class SphereLocator:
    """Find the triangle of a spherical mesh below each direction.

    Triangles whose middles are nearest are tried; where none of them is hit, more are, and the nearest miss counts.

    Parameters
    ----------
    sphere : Mesh
        Around the origin, of any radius.
    """

    def __init__(self, sphere: Mesh) -> None:
        corners = unit(sphere.vertices)[sphere.faces]  # (m, 3, 3)
        self.faces = sphere.faces
        self._tree = cKDTree(unit(corners.sum(axis=1)))
        # rows: what a direction is multiplied with for its share of each corner; slivers have none
        self._shares = np.linalg.pinv(corners.transpose(0, 2, 1), rcond=1e-12)

    def __call__(self, directions: Points) -> tuple[NDArray[np.int64], Points]:
        """Return the face, (n,), and the barycentric coordinates in it, (n, 3), of each direction, (n, 3)."""
        face, weights, miss = self._hit(directions, N_CANDIDATES[0])
        todo = np.flatnonzero(miss > SLACK)
        if todo.size:
            face[todo], weights[todo], _ = self._hit(directions[todo], N_CANDIDATES[1])
        weights = np.maximum(weights, 0.0)
        return face, weights / weights.sum(axis=1, keepdims=True)

    def interpolate(self, directions: Points, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (m, k) values of the vertices, linear in each triangle, at (n, 3) directions: (n, k)."""
        face, weights = self(directions)
        return np.einsum("nb,nbk->nk", weights, values[self.faces[face]])

    def _hit(self, directions: Points, n: int) -> tuple[NDArray[np.int64], Points, Points]:
        n = min(n, len(self.faces))
        _, candidates = self._tree.query(directions, k=n)
        candidates = candidates.reshape(-1, n)
        shares = np.einsum("nkbx,nx->nkb", self._shares[candidates], directions)
        shares /= np.maximum(np.abs(shares.sum(axis=2, keepdims=True)), 1e-12)
        least = shares.min(axis=2)
        best = least.argmax(axis=1)
        rows = np.arange(len(directions))
        return candidates[rows, best], shares[rows, best], -least[rows, best]


def icosphere(subdivisions: int) -> Mesh:
    """Return a unit sphere of 20 * 4^s triangles of nearly equal size."""
    made = trimesh.creation.icosphere(subdivisions=subdivisions)
    return Mesh(unit(np.asarray(made.vertices, np.float64)), np.asarray(made.faces, np.int64))


def exponential(places: Points, steps: Points) -> Points:
    """Go from unit vectors, (n, 3), along great circles by tangent vectors, (n, 3) radians."""
    angles = np.linalg.norm(steps, axis=1, keepdims=True)
    return np.asarray(np.cos(angles) * places + np.sinc(angles / np.pi) * steps)


def logarithm(places: Points, targets: Points) -> Points:
    """Return the tangent vectors, (n, 3) radians, that lead from unit vectors to others."""
    cosine = np.einsum("nx,nx->n", places, targets)[:, None]
    across = targets - cosine * places
    sine = np.linalg.norm(across, axis=1, keepdims=True)
    return np.asarray(np.where(sine > 1e-12, np.arctan2(sine, cosine) / np.maximum(sine, 1e-12), 1.0) * across)


def tangent(places: Points, vectors: Points) -> Points:
    """Return the part of vectors, (n, 3), that is tangent to the sphere at unit vectors, (n, 3)."""
    return np.asarray(vectors - np.einsum("nx,nx->n", places, vectors)[:, None] * places)
