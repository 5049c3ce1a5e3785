"""The way back: which place in the cortex, and how deep, a pixel of a section shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.graph.links import Ribbon
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.compiled import kernel
from cytomesh.surface.halfedge import twins

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)  # depths at which faces are sampled to find candidates
FIRST_CANDIDATES, N_CANDIDATES = 4, 12
"""Most points lie over one of the first few, and need no more."""
SEED_EVERY = 50
"""Of points given; those between are first looked for beside others that are near."""
MOST_FACES = 4
MOST_STEPS = 12
CONVERGED = 1e-11
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
        self._corners = _corners(ribbon, faces)
        # the face across the side opposite each corner
        twin = twins(ribbon.midthickness.faces).reshape(-1, 3)
        self._beside = np.where(twin < 0, -1, twin // 3)[:, [1, 2, 0]]
        self._tree = cKDTree(np.concatenate([_points(ribbon, faces, centre, np.full(n_faces, z)) for z in LEVELS]))

    def places(self, world: NDArray[np.float64], near: NDArray[np.int64] | None = None) -> CorticalPlaces:
        """Locate (n, 3) world positions in mm.

        Parameters
        ----------
        near : (n, k) int64, optional
            Rows of earlier positions that may be near, -1 for none: each is looked for beside them first, which is
            faster. By default the one before.
        """
        n = len(world)
        world = np.ascontiguousarray(world, np.float64)
        places = CorticalPlaces(np.full(n, -1, np.int64), np.full((n, 3), np.nan), np.full(n, np.nan))
        best = np.full(n, SLACK)
        found = (places.face, places.weights, places.depth, best)
        self._search(world, np.arange(0, n, SEED_EVERY), *found)
        if near is None:
            near = np.arange(-1, n - 1)[:, None]
        _walk(world, near, self._beside, *self._corners, *found)
        # nothing can be better than strictly inside
        self._search(world, np.flatnonzero(best > 0.0), *found)
        return places

    def _search(self, world: NDArray[np.float64], todo: NDArray[np.int64], *found: NDArray[Any]) -> None:
        done = 0
        for k in (FIRST_CANDIDATES, N_CANDIDATES):
            last = min(k, self._tree.n)
            todo = todo[found[-1][todo] > 0.0]
            _, sample = self._tree.query(world[todo], k=np.arange(done + 1, last + 1))
            _locate(world, todo, sample, *self._corners, np.asarray(LEVELS), *found)
            done = last

    def pixels(
        self, plane: SectionPlane, pixels: NDArray[np.float64], near: NDArray[np.int64] | None = None
    ) -> CorticalPlaces:
        """Locate (n, 2) pixels (column, row) of a section; the inverse of an image link. See `places`."""
        return self.places(plane.world(pixels), near)


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


@kernel
def _locate(  # type: ignore[no-untyped-def]
    world, todo, sample, pial, mid, white, levels, face, weights, depth, best
):  # pragma: no cover
    """Solve points `todo` for their candidate samples, nearest first; keeps the candidate that they miss least."""
    n_faces = len(mid)
    w = np.empty(3)
    solved = np.empty(sample.shape[1], np.int64)
    for row in range(len(todo)):
        point = todo[row]
        n_solved = 0
        for candidate in sample[row]:
            if best[point] <= 0.0:
                break
            f = candidate % n_faces
            # from another depth of the same face the same place would be found
            if (solved[:n_solved] == f).any():
                continue
            is_solved, z = _solve(pial[f], mid[f], white[f], levels[candidate // n_faces], world[point], w)
            if not is_solved:
                continue
            solved[n_solved] = f
            n_solved += 1
            miss = max(-w.min(), abs(z - 0.5) - 0.5, 0.0)
            if miss < best[point]:
                best[point] = miss
                face[point] = f
                weights[point] = w
                depth[point] = z


@kernel
def _walk(  # type: ignore[no-untyped-def]
    world, near, beside, pial, mid, white, face, weights, depth, best
):  # pragma: no cover
    """Look for each point beside those near it, from face to face; keeps what lies strictly inside."""
    w = np.empty(3)
    for point in range(len(world)):
        for other in near[point]:
            if best[point] <= 0.0:
                break
            if other < 0 or best[other] > 0.0:
                continue
            f, z = face[other], depth[other]
            for _ in range(MOST_FACES):
                is_solved, z = _solve(pial[f], mid[f], white[f], z, world[point], w)
                if not is_solved:
                    break
                side = w.argmin()
                if w[side] >= 0.0:
                    if abs(z - 0.5) <= 0.5:
                        best[point], face[point], weights[point], depth[point] = 0.0, f, w, z
                    break
                f = beside[f, side]
                if f < 0:
                    break


@kernel
def _solve(pial, mid, white, start, world, w):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Find barycentric coordinates `w` and depth of a point over a face by Newton's method; returns success, depth."""
    w[:] = 1.0 / 3.0
    z = start
    corners, slope = np.empty((3, 3)), np.empty((3, 3))
    a, b, c, right, step = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for _ in range(MOST_STEPS):
        _face_at(pial, mid, white, z, corners, slope)
        for x in range(3):
            right[x] = world[x] - (w[0] * corners[0, x] + w[1] * corners[1, x] + w[2] * corners[2, x])
            a[x] = corners[1, x] - corners[0, x]
            b[x] = corners[2, x] - corners[0, x]
            c[x] = w[0] * slope[0, x] + w[1] * slope[1, x] + w[2] * slope[2, x]
        # Cramer's rule; a singular system gives no step
        det = _triple(a, b, c)
        if abs(det) < 1e-15:
            break
        step[0], step[1], step[2] = _triple(right, b, c) / det, _triple(a, right, c) / det, _triple(a, b, right) / det
        # far from the solution the ribbon over a face may fold: bounded steps keep Newton in its basin
        for x in range(3):
            step[x] = min(max(step[x], -1.0), 1.0)
        w[1] += step[0]
        w[2] += step[1]
        w[0] = 1.0 - w[1] - w[2]
        before = z
        z = min(max(z + step[2], -0.5), 1.5)
        if max(abs(step[0]), abs(step[1]), abs(z - before)) < CONVERGED:
            break
    _face_at(pial, mid, white, z, corners, slope)
    size = max(abs(world[0]), abs(world[1]), abs(world[2]))
    off = 0.0
    for x in range(3):
        off += (w[0] * corners[0, x] + w[1] * corners[1, x] + w[2] * corners[2, x] - world[x]) ** 2
    return np.sqrt(off) < 1e-6 * (1.0 + size), z


@kernel
def _face_at(pial, mid, white, depth, corners, slope):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Set a face's corners at a depth, and their derivative by depth in the half of the ribbon that it lies in."""
    for i in range(3):
        for x in range(3):
            slope[i, x] = 2.0 * (mid[i, x] - pial[i, x] if depth < 0.5 else white[i, x] - mid[i, x])
            corners[i, x] = mid[i, x] + (depth - 0.5) * slope[i, x]


@kernel
def _triple(a, b, c):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return a . (b x c)."""
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


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
