"""Curves in which section planes cut a mesh, and the exact nearest point on such a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.study.planes import SectionPlane
from cytomesh.surface.frame import stack_axes
from cytomesh.surface.mesh import Mesh


@dataclass(frozen=True)
class Curve:
    """The line segments in which one plane cuts a mesh.

    Parameters
    ----------
    points : (m, 2, 3) float64
        End points of each segment, world mm, on the plane.
    triangles : (m,) int64
        Face of the mesh that each segment runs through.
    weights : (m, 2, 3) float64
        Barycentric coordinates of the end points in their triangle.
    frame : (2, 3) float64
        Orthonormal directions within the plane.
    """

    points: NDArray[np.float64]
    triangles: NDArray[np.int64]
    weights: NDArray[np.float64]
    frame: NDArray[np.float64]

    @property
    def n_segments(self) -> int:
        """Number of segments; 0 where the plane misses the mesh."""
        return len(self.triangles)

    @property
    def length_mm(self) -> float:
        """Total length, mm."""
        return float(np.linalg.norm(self.points[:, 1] - self.points[:, 0], axis=1).sum())


class PlaneCutter:
    """Cut one mesh by many planes; only the faces near a plane are looked at."""

    def __init__(self, mesh: Mesh, axis: NDArray[np.float64]) -> None:
        self.mesh = mesh
        self._axis = axis
        along = (mesh.vertices @ axis)[mesh.faces]
        low = along.min(axis=1)
        self._order = np.argsort(low, kind="stable")
        self._low = low[self._order]
        self._extent = float((along.max(axis=1) - low).max()) if len(low) else 0.0
        corners = np.stack([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
        self._box = np.array(
            [[corners[i, 0], corners[j, 1], corners[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        )

    def cut(self, plane: SectionPlane) -> Curve:
        """Return the curve of one plane; each face gives at most one segment."""
        mesh = self.mesh
        faces = self._faces_near(plane)
        corners = mesh.faces[faces]
        height = plane.distance(mesh.vertices[corners].reshape(-1, 3)).reshape(-1, 3)
        is_above = height >= 0.0
        n_above = is_above.sum(axis=1)
        keep = (n_above == 1) | (n_above == 2)
        faces, corners, height, is_above, n_above = (a[keep] for a in (faces, corners, height, is_above, n_above))
        # the corner that lies alone on its side of the plane, and the two others
        lone = np.where(n_above == 1, is_above.argmax(axis=1), (~is_above).argmax(axis=1))
        rows = np.arange(len(faces))
        weights = np.zeros((len(faces), 2, 3))
        for end in (0, 1):
            other = (lone + 1 + end) % 3
            share = height[rows, lone] / (height[rows, lone] - height[rows, other])
            weights[rows, end, other] = share
            weights[rows, end, lone] = 1.0 - share
        points = np.einsum("meb,mbx->mex", weights, mesh.vertices[corners])
        return Curve(points, faces, weights, plane_frame(plane))

    def _faces_near(self, plane: SectionPlane) -> NDArray[np.int64]:
        # A plane tilted against the axis covers a range of positions along it within the mesh's bounding box.
        # Along the axis, a plane point above box corner b lies at b.axis - d(b) / (normal.axis).
        slope = float(plane.normal @ self._axis)
        if abs(slope) < 1e-3:
            return np.sort(self._order)
        at = self._box @ self._axis - plane.distance(self._box) / slope
        first = np.searchsorted(self._low, at.min() - self._extent - 1e-9)
        last = np.searchsorted(self._low, at.max() + 1e-9, side="right")
        return np.sort(self._order[first:last])


def plane_frame(plane: SectionPlane) -> NDArray[np.float64]:
    """Return two orthonormal directions within a plane, (2, 3)."""
    across = plane.to_world[:, 0] / np.linalg.norm(plane.to_world[:, 0])
    return np.stack([across, np.cross(plane.normal, across)])


def stacking_axis(planes: Sequence[SectionPlane]) -> NDArray[np.float64]:
    """Return the unit direction that the planes are stacked along: their mean normal, (3,)."""
    return stack_axes(np.stack([plane.to_world for plane in planes]))[:, 2]


@dataclass(frozen=True)
class Bank:
    """Which curve points count as being on a position's own side of a fold.

    Parameters
    ----------
    normals : (n, 3) float64
        Outward unit normal at each position.
    face_normals : (m, 3) float64
        Outward unit normal of each face of the mesh.
    min_cosine : float
        Least cosine between the two.
    max_reach_mm : float
        How far to look at most.
    """

    normals: NDArray[np.float64]
    face_normals: NDArray[np.float64]
    min_cosine: float
    max_reach_mm: float

    def of(self, positions: NDArray[np.int64]) -> Bank:
        """Return the same for some of the positions."""
        return Bank(self.normals[positions], self.face_normals, self.min_cosine, self.max_reach_mm)

    def holds(self, positions: NDArray[np.int64], faces: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each of (n, k) faces is on the own side of (n,) positions."""
        cosine = np.einsum("nkx,nx->nk", self.face_normals[faces], self.normals[positions])
        return np.asarray(cosine >= self.min_cosine)


class CurveIndex:
    """Exact nearest points on one curve, for points that need not lie in its plane.

    A KD-tree of points sampled along the segments proposes segments; the exact distance to them is then accepted
    only if no segment without a proposal can be nearer (each point of a segment lies within half a step of a
    sample), otherwise more are proposed.
    """

    def __init__(self, curve: Curve) -> None:
        self.curve = curve
        self._a = curve.points[:, 0] @ curve.frame.T
        self._d = (curve.points[:, 1] - curve.points[:, 0]) @ curve.frame.T
        lengths = np.linalg.norm(self._d, axis=1)
        step = max(float(np.median(lengths)), 1e-9)
        counts = np.maximum(1, np.ceil(lengths / step)).astype(np.int64)
        self._owner = np.repeat(np.arange(len(lengths)), counts)
        rank = np.arange(len(self._owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        share = (rank + 0.5) / counts[self._owner]
        self._reach = float((lengths / counts).max()) / 2.0
        self._tree = cKDTree(self._a[self._owner] + share[:, None] * self._d[self._owner], balanced_tree=False)

    def nearest(
        self, points: NDArray[np.float64], bank: Bank | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Find the nearest curve point of each point.

        Distances are within the plane: for points at one distance from it, the nearest in the plane is the nearest.

        Parameters
        ----------
        points : (n, 3) float64
            World positions, mm.
        bank : Bank or None
            Given, only segments on the points' own bank count.

        Returns
        -------
        distance : (n,) float64
            In-plane distance, mm; infinite where no segment counts.
        segment : (n,) int64
        share : (n,) float64
            Position along the segment, 0..1.
        """
        flat = points @ self.curve.frame.T
        distance = np.full(len(flat), np.inf)
        segment = np.zeros(len(flat), np.int64)
        share = np.zeros(len(flat))
        todo = np.arange(len(flat))
        n_proposals = min(3, self._tree.n)
        while todo.size:
            sampled, index = self._tree.query(flat[todo], k=n_proposals, workers=1)
            sampled, index = sampled.reshape(len(todo), -1), index.reshape(len(todo), -1)
            owner = self._owner[index]
            near, along = self._exact(flat[todo], owner)
            if bank is not None:
                near = np.where(bank.holds(todo, self.curve.triangles[owner]), near, np.inf)
            best = near.argmin(axis=1)
            rows = np.arange(len(todo))
            distance[todo] = near[rows, best]
            segment[todo] = owner[rows, best]
            share[todo] = along[rows, best]
            if n_proposals == self._tree.n:
                break
            limit = np.inf if bank is None else bank.max_reach_mm
            todo = todo[sampled[:, -1] - self._reach < np.minimum(distance[todo], limit)]
            n_proposals = min(n_proposals * 4, self._tree.n)
        return distance, segment, share

    def _exact(
        self, flat: NDArray[np.float64], segments: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        d = self._d[segments]
        offset = flat[:, None, :] - self._a[segments]
        squared = np.maximum(np.einsum("nkx,nkx->nk", d, d), 1e-24)
        along = np.clip(np.einsum("nkx,nkx->nk", offset, d) / squared, 0.0, 1.0)
        return np.linalg.norm(offset - along[..., None] * d, axis=2), along
