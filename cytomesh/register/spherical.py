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
LEAST_DETERMINANT = 1e-15
"""Of a triangle's corners, twice its area on the unit sphere: below, nothing hits it."""
AT_ONCE = 2_000_000
"""Pairs of a direction and a triangle, of those that need all triangles."""


class SphereLocator:
    """Find the triangle of a spherical mesh below each direction.

    Triangles whose middles are nearest are tried; where none of them is hit, more are, and then all. Where there is
    none, as in holes, the nearest miss counts.

    Parameters
    ----------
    sphere : Mesh
        Around the origin, of any radius.
    """

    def __init__(self, sphere: Mesh) -> None:
        corners = unit(sphere.vertices)[sphere.faces]  # (m, 3, 3)
        self.faces = sphere.faces
        self._wide = np.flatnonzero(np.abs(np.linalg.det(corners)) > LEAST_DETERMINANT)
        corners = corners[self._wide]
        self._tree = cKDTree(unit(corners.sum(axis=1)))
        # rows: what a direction is multiplied with for its share of each corner
        self._shares = np.linalg.inv(corners.transpose(0, 2, 1))

    def __call__(self, directions: Points) -> tuple[NDArray[np.int64], Points]:
        """Return the face, (n,), and the barycentric coordinates in it, (n, 3), of each direction, (n, 3)."""
        found = np.zeros(len(directions), np.int64)
        weights = np.zeros((len(directions), 3))
        todo = np.arange(len(directions))
        for n in (*N_CANDIDATES, len(self._wide)):
            n = min(n, len(self._wide))
            missed = []
            for rows in np.array_split(todo, max(1, -(-len(todo) * n // AT_ONCE))):
                found[rows], weights[rows] = self._best(directions[rows], n)
                missed.append(rows[weights[rows].min(axis=1) < -SLACK])
            todo = np.concatenate(missed)
            if not todo.size:
                break
        weights = np.maximum(weights, 0.0)
        return self._wide[found], weights / weights.sum(axis=1, keepdims=True)

    def interpolate(self, directions: Points, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (m, k) values of the vertices, linear in each triangle, at (n, 3) directions: (n, k)."""
        face, weights = self(directions)
        return np.einsum("nb,nbk->nk", weights, values[self.faces[face]])

    def _best(self, directions: Points, n: int) -> tuple[NDArray[np.int64], Points]:
        """Return which of the n nearest triangles a direction hits, or misses by the least share, and its shares."""
        _, candidates = self._tree.query(directions, k=n)
        candidates = candidates.reshape(-1, n)
        shares = np.einsum("nkbx,nx->nkb", self._shares[candidates], directions)
        total = shares.sum(axis=2, keepdims=True)
        # the ray backwards hits nothing
        shares = np.divide(shares, total, out=np.full_like(shares, -np.inf), where=total > 1e-12)
        best = shares.min(axis=2).argmax(axis=1)
        rows = np.arange(len(directions))
        return candidates[rows, best], shares[rows, best]


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
