"""Mending of rings that cross themselves: what hands do by accident, not what would take hours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.validation import make_valid

from cytomesh.core.errors import ContourError

# A trace of a section crosses itself some dozens of times; a star of n points does n^2 / 2 times. Mending takes seconds
# for thousands of crossings, and grows faster than their number.
MAX_CROSSINGS = 2_000
# Pairs of segments that have to be looked at; neighbours in a ring of a million points make a few million.
MAX_PAIRS = 20_000_000
CHUNK = 256


class Mender:
    """Mends the polygons of one file, as long as they cross themselves no more than `MAX_CROSSINGS` times together."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left = MAX_CROSSINGS

    def mend(self, polygon: Polygon, place: str) -> BaseGeometry:
        """Return the region that the rings of an invalid polygon enclose, by the rules of `shapely.make_valid`.

        Raises
        ------
        ContourError
            If too many of its segments cross.
        """
        count = n_crossings(polygon, self.left)
        if count > self.left:
            raise ContourError(
                self.path,
                place,
                found=f"rings that cross themselves more than {MAX_CROSSINGS:,} times",
                expected="a few crossings, to be repaired (limit MAX_CROSSINGS)",
                hint="draw it again, or simplify the ring",
            )
        self.left -= count
        return make_valid(polygon)


def n_crossings(polygon: Polygon, limit: int) -> int:
    """Count the pairs of segments of a polygon's rings that cross, up to a little more than `limit`.

    One that would take more than `MAX_PAIRS` comparisons counts as having too many.
    """
    rings = [np.asarray(ring.coords)[:, :2] for ring in (polygon.exterior, *polygon.interiors)]
    start = np.concatenate([ring[:-1] for ring in rings])
    end = np.concatenate([ring[1:] for ring in rings])
    segments = shapely.linestrings(np.stack([start, end], axis=1))
    tree = shapely.STRtree(segments)
    count = n_pairs = 0
    for first in range(0, len(segments), CHUNK):
        a, b = tree.query(segments[first : first + CHUNK])
        n_pairs += len(a)
        if n_pairs > MAX_PAIRS:
            return limit + 1
        a += first
        a, b = a[a < b], b[a < b]
        count += int(_cross(start[a], end[a], start[b], end[b]).sum())
        if count > limit:
            break
    return count


def _cross(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether segments a-b and c-d, all (n, 2), cross: the ends of each lie on different sides of the other."""

    def side(p: NDArray[np.float64], q: NDArray[np.float64], r: NDArray[np.float64]) -> NDArray[np.float64]:
        u, v = q - p, r - p
        return np.asarray(np.sign(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]))

    return np.asarray((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0))
