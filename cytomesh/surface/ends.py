"""Where a stack ends by a cut and not by cortex: found from its contours, and carried on a little beyond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.frame import stack_axes
from cytomesh.surface.stack import Ends, PlaneContours

LEAST_SHARE = 0.2
"""An end is a cut if its pial area is at least this share of the stack's largest section; of whole human hemispheres
that begin as much as 4 mm behind the pole it is 0.12."""
LEAST_GAPS = 6.0
"""... and if the area, going on to shrink as over the last three sections, would last for at least so many sections;
that of a pole lasts for one, or for as many as are missing."""


def cut_ends(contours: Sequence[PlaneContours]) -> Ends:
    """Find the ends of a stack at which sections stop, but the tissue does not.

    An end beyond which a section without this hemisphere is drawn is none: the drawing says that the tissue ends.

    Returns
    -------
    (bool, bool)
        At the lower and at the upper end of the stacking axis.
    """
    order, heights = _order(contours)
    areas = np.array([_area_mm2(contours[k]) for k in order])
    if len(areas) < 3:
        return False, False
    return _is_cut(areas, heights), _is_cut(areas[::-1], -heights[::-1])


def extended(contours: Sequence[PlaneContours], is_cut: Ends) -> list[PlaneContours]:
    """Return the contours, then a copy of the outermost ones beyond each cut end, one thickness of the cortex away.

    A surface that closes at once takes the lines from white to pial with it: within a millimetre of a cut, cortex was
    lost or measured up to 0.3 mm too thick. With walls that go on straight, the cut bends no line in the stack.
    """
    order, heights = _order(contours)
    axis = stack_axes(np.stack([plane.to_world for plane in contours]))[:, 2]
    result = list(contours)
    for is_here, end, inner, sign in ((is_cut[0], 0, 1, -1.0), (is_cut[1], -1, -2, 1.0)):
        if is_here:
            plane = contours[order[end]]
            away = max(_thickness_mm(plane), abs(heights[end] - heights[inner]))
            moved = plane.to_world + sign * away * np.outer(axis, (0.0, 0.0, 1.0))
            result.append(replace(plane, to_world=moved))
    return result


def beyond_cuts(points: NDArray[np.float64], contours: Sequence[PlaneContours], is_cut: Ends) -> NDArray[np.bool_]:
    """Return which of (n, 3) points, world mm, lie beyond a plane at which the stack is cut."""
    order, _ = _order(contours)
    axis = stack_axes(np.stack([plane.to_world for plane in contours]))[:, 2]
    result = np.zeros(len(points), bool)
    for is_here, end, sign in ((is_cut[0], 0, -1.0), (is_cut[1], -1, 1.0)):
        if is_here:
            matrix = contours[order[end]].to_world
            normal = np.cross(matrix[:, 0], matrix[:, 1])
            normal *= sign * np.sign(normal @ axis)
            result |= (points - matrix[:, 2]) @ normal > 0.0
    return result


def _order(contours: Sequence[PlaneContours]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the planes' order along the stacking axis and their positions in it, mm, at the contours' middle."""
    to_world = np.stack([plane.to_world for plane in contours])
    axes = stack_axes(to_world)
    normals = np.cross(to_world[:, :, 0], to_world[:, :, 1])
    middle = np.mean([plane.to_world @ _middle(plane) for plane in contours if not plane.pial.is_empty], axis=0)
    heights = ((to_world[:, :, 2] - middle) * normals).sum(axis=1) / (normals @ axes[:, 2])
    order = np.argsort(heights, kind="stable")
    return order, heights[order]


def _middle(plane: PlaneContours) -> NDArray[np.float64]:
    left, top, right, bottom = plane.pial.bounds
    return np.array([0.5 * (left + right), 0.5 * (top + bottom), 1.0])


def _is_cut(areas: NDArray[np.float64], heights: NDArray[np.float64]) -> bool:
    """Whether the first of at least three sections shows a cut; `heights` rise into the stack."""
    if areas[0] < LEAST_SHARE * areas.max():
        return False
    gap = heights[1] - heights[0]
    shrinking = max(float(areas[2] - areas[0]) / float(heights[2] - heights[0]), 0.0)
    return bool(areas[0] >= LEAST_GAPS * gap * shrinking)


def _area_mm2(plane: PlaneContours) -> float:
    return float(plane.pial.area * np.linalg.norm(np.cross(plane.to_world[:, 0], plane.to_world[:, 1])))


def _thickness_mm(plane: PlaneContours) -> float:
    """Return the mean thickness of the cortex in a section: its area over the mean length of its two boundaries."""
    mm_per_px = float(np.linalg.norm(plane.to_world[:, :2], axis=0).mean())
    area = plane.pial.area - plane.white.area
    return mm_per_px * 2.0 * max(area, 0.0) / (plane.pial.length + plane.white.length)
