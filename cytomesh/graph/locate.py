"""The way back: which place in the cortex, and how deep, a pixel of a section shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.graph.links import Ribbon
from cytomesh.study.planes import SectionPlane

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # depths at which faces are sampled to find candidates
N_CANDIDATES = 12
SLACK = 1e-3  # barycentric coordinates and depths this far outside still count as inside


@dataclass(frozen=True)
class CorticalPlaces:
    """Places in the cortex: a face of the ribbon, barycentric coordinates within it, and a depth.

    Parameters
    ----------
    face : (n,) int64
        Face of the midsurface, -1 outside the cortex.
    weights : (n, 3) float64
        Barycentric coordinates in that face.
    depth : (n,) float64
        0 at pial, 0.5 at the midsurface, 1 at white; linear in between.
    """

    face: NDArray[np.int64]
    weights: NDArray[np.float64]
    depth: NDArray[np.float64]

    @property
    def is_inside(self) -> NDArray[np.bool_]:
        """Whether a place was found, (n,) bool."""
        return self.face >= 0

    def nodes(self, ribbon: Ribbon) -> NDArray[np.int64]:
        """Return the node (corner of the face) nearest by barycentric coordinate, (n,) int64, -1 outside."""
        corner = self.weights.argmax(axis=1)
        nodes = ribbon.midthickness.faces[self.face, corner]
        return np.where(self.is_inside, nodes, -1)

    def world(self, ribbon: Ribbon) -> NDArray[np.float64]:
        """Return the world positions, (n, 3) mm; NaN outside."""
        points = _points(ribbon, np.maximum(self.face, 0), self.weights, self.depth)
        return np.where(self.is_inside[:, None], points, np.nan)

    def equivolumetric_depth(self, ribbon: Ribbon) -> NDArray[np.float64]:
        """Return the share of the cortex's volume that lies above each place, (n,), 0 pial, 1 white; NaN outside.

        Layers follow it through gyri and sulci, which the linear depth does not (`volume_share`).
        """
        corners = ribbon.midthickness.faces[np.maximum(self.face, 0)]
        pial, white = (
            np.einsum("nb,nb->n", self.weights, mesh.vertex_areas[corners]) for mesh in (ribbon.pial, ribbon.white)
        )
        return np.where(self.is_inside, volume_share(pial, white, self.depth), np.nan)


class CortexLocator:
    """Find world positions within the ribbon of a hemisphere.

    The ribbon over a face is the set of points with barycentric coordinates b >= 0 between the pial and white
    copies of the face, piecewise linear in depth through the midsurface. Faces sampled at several depths propose
    candidates; Newton's method on (b1, b2, depth) then solves each exactly.
    """

    def __init__(self, ribbon: Ribbon) -> None:
        self.ribbon = ribbon
        n_faces = ribbon.midthickness.n_faces
        centre = np.full((n_faces, 3), 1.0 / 3.0)
        faces = np.arange(n_faces)
        self._tree = cKDTree(np.concatenate([_points(ribbon, faces, centre, np.full(n_faces, z)) for z in LEVELS]))

    def places(self, world: NDArray[np.float64]) -> CorticalPlaces:
        """Locate (n, 3) world positions in mm."""
        n = len(world)
        n_faces = self.ribbon.midthickness.n_faces
        k = min(N_CANDIDATES, self._tree.n)
        _, sample = self._tree.query(world, k=k)
        sample = sample.reshape(n, k)
        face = np.full(n, -1, np.int64)
        weights = np.full((n, 3), np.nan)
        depth = np.full(n, np.nan)
        best = np.full(n, SLACK)
        for rank in range(sample.shape[1]):
            # nothing can be better than strictly inside
            todo = np.flatnonzero(best > 0.0)
            candidate = sample[todo, rank] % n_faces
            start = np.asarray(LEVELS)[sample[todo, rank] // n_faces]
            w, z = self._solve(candidate, start, world[todo])
            miss = np.maximum(np.maximum(-w.min(axis=1), np.abs(z - 0.5) - 0.5), 0.0)
            better = miss < best[todo]
            chosen = todo[better]
            face[chosen], weights[chosen], depth[chosen] = candidate[better], w[better], z[better]
            best[chosen] = miss[better]
        return CorticalPlaces(face, weights, depth)

    def pixels(self, plane: SectionPlane, pixels: NDArray[np.float64]) -> CorticalPlaces:
        """Locate (n, 2) pixels (column, row) of a section; the inverse of an image link."""
        return self.places(plane.world(pixels))

    def _solve(
        self, face: NDArray[np.int64], start: NDArray[np.float64], world: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        pial, mid, white = _corners(self.ribbon, face)
        weights = np.full((len(face), 3), 1.0 / 3.0)
        depth = start.astype(np.float64)
        for _ in range(12):
            # the half of the ribbon this depth lies in, and the derivative of a corner by depth there
            slope = np.where((depth < 0.5)[:, None, None], mid - pial, white - mid) * 2.0
            corners = mid + (depth - 0.5)[:, None, None] * slope
            residual = world - np.einsum("nb,nbx->nx", weights, corners)
            by_depth = np.einsum("nb,nbx->nx", weights, slope)
            jacobian = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], by_depth], axis=2)
            step = _solve3(jacobian, residual)
            # far from the solution the ribbon over a face may fold: bounded steps keep Newton in its basin
            step = np.clip(step, -1.0, 1.0)
            weights[:, 1] += step[:, 0]
            weights[:, 2] += step[:, 1]
            weights[:, 0] = 1.0 - weights[:, 1] - weights[:, 2]
            depth = np.clip(depth + step[:, 2], -0.5, 1.5)
        found = np.einsum("nb,nbx->nx", weights, mid + _offset(pial, mid, white, depth))
        is_solved = np.linalg.norm(found - world, axis=1) < 1e-6 * (1.0 + np.abs(world).max(axis=1))
        return np.where(is_solved[:, None], weights, -np.inf), depth


def _points(
    ribbon: Ribbon, face: NDArray[np.int64], weights: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.float64]:
    pial, mid, white = _corners(ribbon, face)
    return np.asarray(np.einsum("nb,nbx->nx", weights, mid + _offset(pial, mid, white, depth)), np.float64)


def _corners(ribbon: Ribbon, face: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
    corners = ribbon.midthickness.faces[face]
    return tuple(mesh.vertices[corners] for mesh in (ribbon.pial, ribbon.midthickness, ribbon.white))


def _offset(
    pial: NDArray[np.float64], mid: NDArray[np.float64], white: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.float64]:
    slope = np.where((depth < 0.5)[:, None, None], mid - pial, white - mid) * 2.0
    return np.asarray((depth - 0.5)[:, None, None] * slope, np.float64)


def _solve3(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve n 3 x 3 systems by Cramer's rule; singular ones give a zero step."""
    a, b, c = (matrix[:, :, i] for i in range(3))
    bc = np.cross(b, c)
    det = np.einsum("nx,nx->n", a, bc)
    safe = np.where(np.abs(det) < 1e-15, np.inf, det)
    parts = (
        np.einsum("nx,nx->n", right, bc),
        np.einsum("nx,nx->n", a, np.cross(right, c)),
        np.einsum("nx,nx->n", a, np.cross(b, right)),
    )
    return np.stack(parts, axis=1) / safe[:, None]


def volume_share(
    pial_area: NDArray[np.float64], white_area: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the share of a column's volume that lies above a depth, (n,), 0 at pial and 1 at white.

    The cross-section of a column grows linearly from pial to white (Waehnert et al., NeuroImage 93, 2014):

        V(t) / V(1) = (A_p t + (A_w - A_p) t^2 / 2) / ((A_p + A_w) / 2)

    Parameters
    ----------
    pial_area, white_area : (n,) float64
        Cross-sections at the two ends, any unit.
    depth : (n,) float64
        Share t of the column's length, 0 at pial and 1 at white.
    """
    total = np.maximum(pial_area + white_area, 1e-12)
    return np.asarray((2 * pial_area * depth + (white_area - pial_area) * depth**2) / total)


def depth_of_share(
    pial_area: NDArray[np.float64], white_area: NDArray[np.float64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the depth above which a share of a column's volume lies: the inverse of `volume_share`.

    The root of its quadratic between 0 and 1, in the form that equal areas do not cancel:

        t = v (A_p + A_w) / (A_p + sqrt(A_p^2 + v (A_w^2 - A_p^2)))

    Parameters
    ----------
    pial_area, white_area : (n,) float64
        Not both 0.
    share : (n,) float64
        Share v of the volume. All three may be of any shapes that broadcast.
    """
    root = np.sqrt(np.maximum(pial_area**2 + share * (white_area**2 - pial_area**2), 0.0))
    return np.asarray(share * (pial_area + white_area) / np.maximum(pial_area + root, 1e-12))
