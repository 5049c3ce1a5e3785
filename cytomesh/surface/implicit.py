"""The implicit volume: in-plane distances of one section after the other, interpolated between their true positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cytomesh.surface.compiled import kernel
from cytomesh.surface.distance import signed_distance
from cytomesh.surface.stack import Ends, Grid, Stack

N_KEPT = 4
"""Planes in memory at a time: a plane, its neighbours, and the one after."""


def fill_volume(stack: Stack, segments: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return the signed distance on the grid, mm, positive inside: exact in the sections, interpolated between them.

    Cubic Hermite interpolation along the stacking axis, at unequal spacing, with the slopes of the parabola through
    three neighbouring planes: what a field that is smooth over three sections needs to come out without stair-steps.
    Beyond the outermost planes the field falls off so that the surface closes half a spacing outside: as a pole, or as
    a flat face with straight walls where the stack ends by a cut. Only a few planes are in memory at a time, whatever
    their number. A plane without this boundary between planes with it is left
    out, like a missing section: the boundary is interpolated over it.

    Parameters
    ----------
    stack : Stack
    segments : sequence of (n, 4) float64
        `stack.pial` or `stack.white`.

    Returns
    -------
    (ni, nj, nk) float32
    """
    volume = np.empty(stack.grid.shape, np.float32)
    window: list[tuple[NDArray[np.float64], NDArray[np.float32]]] = []
    is_known = ~stack.is_bridged(segments)
    known = [lines for lines, is_used in zip(segments, is_known, strict=True) if is_used]
    for entry in _closed(stack.heights[is_known], _Planes(stack.grid, known), stack.is_cut):
        window.append(entry)
        if len(window) == 3:  # below the first section there is no further plane to take a slope from
            _fill_between(volume, *_arrays([window[0], *window]), True, False)
        elif len(window) == 4:
            _fill_between(volume, *_arrays(window), False, False)
            del window[0]
    _fill_between(volume, *_arrays([*window, window[-1]]), False, True)
    return volume


def _arrays(
    entries: Sequence[tuple[NDArray[np.float64], NDArray[np.float32]]],
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    heights, fields = zip(*entries, strict=True)
    return np.stack(heights), np.stack(fields)


def _closed(
    heights: NDArray[np.float64], planes: _Planes, is_cut: Ends
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float32]]]:
    """Yield height and field of all planes, and of one more at each end in which the body has ended."""
    last = len(heights) - 1
    for k in range(last + 1):
        field = planes.field(k)
        if k == 0:
            yield 2 * heights[0] - heights[1], _beyond(field, is_cut[0])
        yield heights[k], field
        if k == last:
            yield 2 * heights[last] - heights[last - 1], _beyond(field, is_cut[1])


def _beyond(field: NDArray[np.float32], is_cut: bool) -> NDArray[np.float32]:
    """Return the field one spacing outside: all of a cut face ends half-way there, of a pole only its deepest point.

    The slope at the outermost plane comes from it, too: where a face of 15 mm in-radius fell off like a pole, the
    volume would flare by 2 mm before it ends.
    """
    if is_cut:
        return np.asarray(-np.abs(field))
    return np.asarray(field - np.float32(2 * max(float(field.max()), 1e-3)))


@dataclass(frozen=True, slots=True)
class _Parts:
    """Connected parts (or, of the background, holes) of a plane: labels from 1, bounding boxes, in-radii in mm."""

    labels: NDArray[np.int32]
    windows: list[tuple[slice, ...]]
    radii: list[float]


class _Planes:
    """In-plane signed distances in mm, positive inside, computed when asked for."""

    def __init__(self, grid: Grid, segments: Sequence[NDArray[np.float64]]) -> None:
        self._segments = segments
        self._shape = grid.shape[:2]
        self._voxel_mm = grid.voxel_mm
        self._used = np.array([k for k, lines in enumerate(segments) if len(lines)])
        self._distance = lru_cache(maxsize=N_KEPT)(self._measure)
        self._parts = lru_cache(maxsize=2 * N_KEPT)(self._label)

    def field(self, k: int) -> NDArray[np.float32]:
        """Return (ni, nj); parts and holes that a neighbour does not continue end half-way to the next plane.

        Between a part of in-radius r and a plane where the field is -10 mm there, plain interpolation would stop at
        r / (r + 10) of the way, that is at the plane: poles would be cut flat. A plane without contours is the
        nearest one with contours, lowered so that the surface closes half-way.
        """
        if not len(self._segments[k]):
            near = int(self._used[np.argmin(np.abs(self._used - k))])
            field = self._distance(near)
            return field - np.float32(2 * abs(near - k) * max(float(field.max()), 1e-3))
        field = self._distance(k).copy()
        for sign in (1, -1):
            here = self._parts(k, sign).labels
            for neighbour in (k - 1, k + 1):
                if not 0 <= neighbour < len(self._segments) or not len(self._segments[neighbour]):
                    continue
                parts = self._parts(neighbour, sign)
                is_met = np.bincount(parts.labels[here > 0], minlength=len(parts.radii) + 1)[1:] > 0
                for part in np.flatnonzero(~is_met):
                    self._taper(field, self._distance(neighbour), parts, int(part), np.float32(sign))
        return field

    def _measure(self, k: int) -> NDArray[np.float32]:
        return signed_distance(self._segments[k], *self._shape) * np.float32(self._voxel_mm)

    def _label(self, k: int, sign: int) -> _Parts:
        field = np.float32(sign) * self._distance(k)
        labels, _ = ndimage.label(field > 0)
        windows = ndimage.find_objects(labels)
        radii = [float(field[w][labels[w] == part].max()) for part, w in enumerate(windows, start=1)]
        return _Parts(labels, windows, radii)

    def _taper(
        self, field: NDArray[np.float32], source: NDArray[np.float32], parts: _Parts, part: int, sign: np.float32
    ) -> None:
        radius = parts.radii[part]
        reach = int(np.ceil(2 * radius / self._voxel_mm)) + 2
        window = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in parts.windows[part])
        labels = parts.labels[window]
        is_other = (labels > 0) & (labels != part + 1)
        ended = sign * source[window] - np.float32(2 * radius)
        there = sign * field[window]
        field[window] = sign * np.where(is_other, there, np.maximum(there, ended))


@kernel
def _fill_between(volume, heights, fields, is_first, is_last):  # type: ignore[no-untyped-def]
    """Fill the slab between planes 1 and 2 of four, and beyond at the ends of the stack; 0 and 3 give the slopes."""
    ni, nj, nk = volume.shape
    for i in range(ni):
        for j in range(nj):
            at0 = heights[0, 0] + heights[0, 1] * i + heights[0, 2] * j
            at1 = heights[1, 0] + heights[1, 1] * i + heights[1, 2] * j
            at2 = heights[2, 0] + heights[2, 1] * i + heights[2, 2] * j
            at3 = heights[3, 0] + heights[3, 1] * i + heights[3, 2] * j
            first = 0 if is_first else max(int(np.floor(at1)) + 1, 0)
            last = nk - 1 if is_last else min(int(np.floor(at2)), nk - 1)
            if first > last:
                continue
            low, high = fields[1, i, j], fields[2, i, j]
            h = at2 - at1
            s = (high - low) / h
            slope1, slope2 = s, s
            if not is_first:
                before = at1 - at0
                slope1 = ((low - fields[0, i, j]) / before * h + s * before) / (before + h)
            if not is_last:
                after = at3 - at2
                slope2 = (s * after + (fields[3, i, j] - high) / after * h) / (h + after)
            for z in range(first, last + 1):
                t = (z - at1) / h
                if t <= 0.0:
                    volume[i, j, z] = low + t * h * slope1
                elif t >= 1.0:
                    volume[i, j, z] = high + (t - 1.0) * h * slope2
                else:
                    u = 1.0 - t
                    volume[i, j, z] = (
                        (1.0 + 2.0 * t) * u * u * low
                        + t * u * u * h * slope1
                        + t * t * (3.0 - 2.0 * t) * high
                        - t * t * u * h * slope2
                    )
