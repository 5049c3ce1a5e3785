"""Signed distance to closed rings in a plane, exact to their segments rather than to a rasterised mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel


def signed_distance(segments: NDArray[np.float64], ni: int, nj: int) -> NDArray[np.float32]:
    """Return (ni, nj) distances to closed rings, positive inside by the even-odd rule, in index units.

    The distance is exact within a voxel of the segments, and that to the closest of the segments which reach a point
    by propagation further away.

    Parameters
    ----------
    segments : (n, 4) float64
        (i0, j0, i1, j1).
    """
    distance = np.sqrt(_squared_distance(segments, ni, nj))
    return np.asarray(np.where(_inside(segments, ni, nj), distance, -distance), np.float32)


@kernel
def _point_segment(segments, s, x, y):  # type: ignore[no-untyped-def]
    ax, ay = segments[s, 0], segments[s, 1]
    dx, dy = segments[s, 2] - ax, segments[s, 3] - ay
    length = dx * dx + dy * dy
    t = 0.0
    if length > 0.0:
        t = min(1.0, max(0.0, ((x - ax) * dx + (y - ay) * dy) / length))
    ex, ey = ax + t * dx - x, ay + t * dy - y
    return ex * ex + ey * ey


@kernel
def _squared_distance(segments, ni, nj):  # type: ignore[no-untyped-def]
    """Closest segment found beside each segment, then passed on in raster sweeps (vector distance transform)."""
    best = np.full((ni, nj), np.inf)
    owner = np.full((ni, nj), -1, np.int32)
    for s in range(len(segments)):
        i0 = max(int(np.floor(min(segments[s, 0], segments[s, 2]))) - 1, 0)
        i1 = min(int(np.ceil(max(segments[s, 0], segments[s, 2]))) + 1, ni - 1)
        j0 = max(int(np.floor(min(segments[s, 1], segments[s, 3]))) - 1, 0)
        j1 = min(int(np.ceil(max(segments[s, 1], segments[s, 3]))) + 1, nj - 1)
        for i in range(i0, i1 + 1):
            for j in range(j0, j1 + 1):
                d = _point_segment(segments, s, i, j)
                if d < best[i, j]:
                    best[i, j] = d
                    owner[i, j] = s
    for direction in range(4):
        si = 1 if direction & 1 else -1
        sj = 1 if direction & 2 else -1
        for a in range(ni):
            i = a if si > 0 else ni - 1 - a
            for b in range(nj):
                j = b if sj > 0 else nj - 1 - b
                for di, dj in ((-si, 0), (0, -sj), (-si, -sj), (-si, sj)):
                    p, q = i + di, j + dj
                    if p < 0 or q < 0 or p >= ni or q >= nj:
                        continue
                    s = owner[p, q]
                    if s < 0 or s == owner[i, j]:
                        continue
                    d = _point_segment(segments, s, i, j)
                    if d < best[i, j]:
                        best[i, j] = d
                        owner[i, j] = s
    return best


@kernel
def _inside(segments, ni, nj):  # type: ignore[no-untyped-def]
    """Even-odd rule: each crossing of a grid line flips all points after it."""
    flips = np.zeros((ni, nj), np.bool_)
    for s in range(len(segments)):
        x0, y0, x1, y1 = segments[s, 0], segments[s, 1], segments[s, 2], segments[s, 3]
        if x0 > x1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        for i in range(max(int(np.ceil(x0)), 0), ni):
            if i >= x1:
                break
            j = int(np.ceil(y0 + (y1 - y0) * (i - x0) / (x1 - x0)))
            if j < nj:
                flips[i, max(j, 0)] ^= True
    for i in range(ni):
        state = False
        for j in range(nj):
            state ^= flips[i, j]
            flips[i, j] = state
    return flips
