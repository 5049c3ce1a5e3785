"""The search behind image links: nearest planes, nearest points on the curves they cut, and the own bank of a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.graph.curves import Bank, Curve, CurveIndex
from cytomesh.study.planes import SectionPlane

# Planes looked at on either side of a position, beyond what tilted planes make necessary: a place that more sections
# in a row exclude stays without a link however far max_distance_mm reaches.
N_NEIGHBOURS = 4
MIN_NORMAL_COSINE = 0.5  # 60 degrees: more than a fold turns within the reach of a link, less than opposite banks


def nearest_planes(
    planes: Sequence[SectionPlane], axis: NDArray[np.float64], positions: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """List the nearest planes of each position, nearest first.

    Planes are sorted along the stacking axis and a window around each position is measured exactly; the window
    grows with the tilt of the planes, up to all of them.

    Returns
    -------
    planes : (n, k) int64
        Positions in the sequence of planes.
    distances : (n, k) float64
        Unsigned distances, mm.
    """
    normals = np.stack([plane.normal for plane in planes])
    heights = -np.array([plane.distance(np.zeros((1, 3)))[0] for plane in planes])
    slopes = normals @ axis
    if (np.abs(slopes) < 1e-3).any():
        window = len(planes)
        order = np.arange(len(planes))
        first = np.zeros(len(positions), np.int64)
    else:
        # where each plane crosses the axis through the middle of the positions, and how far it strays from there
        middle = (positions.min(axis=0) + positions.max(axis=0)) / 2.0
        radius = float(np.linalg.norm(positions - middle, axis=1).max())
        along = middle @ axis + (heights - normals @ middle) / slopes
        order = np.argsort(along, kind="stable")
        tilt = radius * np.sqrt(np.maximum(0.0, 1.0 / slopes**2 - 1.0)).max()
        steps = np.diff(along[order])
        crossed = int(np.ceil(2.0 * tilt / max(float(np.median(steps)), 1e-6))) if len(steps) else 0
        window = min(len(planes), 2 * (N_NEIGHBOURS + crossed))
        at = np.searchsorted(along[order], positions @ axis)
        first = np.clip(at - window // 2, 0, len(planes) - window)
    candidates = order[first[:, None] + np.arange(window)]
    distances = np.empty(candidates.shape)
    for rank in range(window):
        which = candidates[:, rank]
        distances[:, rank] = np.abs(np.einsum("nx,nx->n", positions, normals[which]) - heights[which])
    ranks = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(candidates, ranks, axis=1), np.take_along_axis(distances, ranks, axis=1)


@dataclass
class Nearest:
    """Best link point so far of each position."""

    section: NDArray[np.int64]  # position in the list of usable sections, -1 none within tolerance
    segment: NDArray[np.int64]
    share: NDArray[np.float64]
    reach: NDArray[np.float64]

    @classmethod
    def empty(cls, n: int) -> Nearest:
        """Return n positions without any link point."""
        return cls(np.full(n, -1), np.zeros(n, np.int64), np.zeros(n), np.full(n, np.inf))


class Search:
    """Nearest curve points of positions, plane by plane, nearest plane first."""

    def __init__(
        self,
        curves: Sequence[Curve],
        planes: NDArray[np.int64],
        distances: NDArray[np.float64],
        positions: NDArray[np.float64],
        max_distance_mm: float,
    ) -> None:
        self.curves, self.planes, self.distances, self.positions = curves, planes, distances, positions
        self._tolerance = max_distance_mm * (1.0 + 1e-9)
        self._indices: dict[int, CurveIndex] = {}

    @property
    def is_near_plane(self) -> NDArray[np.bool_]:
        """Whether a position has a plane within tolerance that is not barred, (n,) bool."""
        return np.asarray(self.distances[:, 0] <= self._tolerance)

    def bar(self, who: NDArray[np.int64], planes: NDArray[np.int64]) -> None:
        """Leave one plane out of account from now on for each of the positions `who`."""
        distances = np.where(self.planes[who] == planes[:, None], np.inf, self.distances[who])
        ranks = np.argsort(distances, axis=1, kind="stable")
        self.planes[who] = np.take_along_axis(self.planes[who], ranks, axis=1)
        self.distances[who] = np.take_along_axis(distances, ranks, axis=1)

    def run(self, who: NDArray[np.int64], found: Nearest, bank: Bank | None = None) -> None:
        """Improve what is found for the positions `who`; with a bank, by points on it only."""
        for rank in range(self.planes.shape[1]):
            # a plane farther away than the best link point cannot hold a nearer one
            active = who[
                (self.distances[who, rank] <= self._tolerance) & (self.distances[who, rank] < found.reach[who])
            ]
            if not active.size:
                return
            active = active[np.argsort(self.planes[active, rank], kind="stable")]
            bounds = np.flatnonzero(np.diff(self.planes[active, rank])) + 1
            for nodes in np.split(active, bounds):
                self._plane(int(self.planes[nodes[0], rank]), nodes, self.distances[nodes, rank], found, bank)

    def _plane(
        self, which: int, nodes: NDArray[np.int64], heights: NDArray[np.float64], found: Nearest, bank: Bank | None
    ) -> None:
        if self.curves[which].n_segments == 0:
            return
        if which not in self._indices:
            self._indices[which] = CurveIndex(self.curves[which])
        own = None if bank is None else bank.of(nodes)
        in_plane, segment, share = self._indices[which].nearest(self.positions[nodes], own)
        reach = np.hypot(in_plane, heights)
        better = reach < found.reach[nodes]
        chosen = nodes[better]
        found.section[chosen] = which
        found.segment[chosen] = segment[better]
        found.share[chosen] = share[better]
        found.reach[chosen] = reach[better]


def prefer_own_bank(
    search: Search,
    face_normals: NDArray[np.float64],
    normals: NDArray[np.float64],
    max_reach_mm: float,
    found: Nearest,
) -> None:
    """Search again on the own bank of positions whose link point faces elsewhere; keep what is found there."""
    linked = np.flatnonzero(found.section >= 0)
    linked = linked[np.argsort(found.section[linked], kind="stable")]
    faces = np.empty(len(linked), np.int64)
    for rows in np.split(np.arange(len(linked)), np.flatnonzero(np.diff(found.section[linked])) + 1):
        if rows.size:
            faces[rows] = search.curves[found.section[linked[rows[0]]]].triangles[found.segment[linked[rows]]]
    cosine = np.einsum("nx,nx->n", face_normals[faces], normals[linked])
    strayed = linked[cosine < MIN_NORMAL_COSINE]
    if not strayed.size:
        return
    other = Nearest.empty(len(found.section))
    other.reach[strayed] = max_reach_mm
    search.run(strayed, other, Bank(normals, face_normals, MIN_NORMAL_COSINE, max_reach_mm))
    better = strayed[other.section[strayed] >= 0]
    for name in ("section", "segment", "share", "reach"):
        getattr(found, name)[better] = getattr(other, name)[better]
