"""Section contours of one hemisphere, ordered in a common voxel grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.core.errors import ConfigError, SurfaceError
from cytomesh.study.neighbours import undrawn_between
from cytomesh.surface.frame import plane_normals, stack_axes

MARGIN_VOXELS = 4
MAX_TILT_DEG = 30
# 32 GiB of float32: beyond any machine that the later stages, at ten times this, would run on.
MAX_VOXELS = 2.0**33

Ends = tuple[bool, bool]
"""Something about the lower and the upper end of a stack, along the third of its axes (`stack_axes`)."""


@dataclass(frozen=True, slots=True)
class PlaneContours:
    """Contours of one hemisphere in one section.

    Parameters
    ----------
    to_world : (3, 3) float64
        Columns: step per pixel column, step per pixel row, centre of pixel (0, 0); RAS, mm.
    pial, white : shapely.MultiPolygon
        Regions inside the two boundaries, in pixels (column, row); either may be empty.

    Examples
    --------
    >>> import numpy as np
    >>> from shapely import MultiPolygon, Point
    >>> to_world = np.array([[0.1, 0, -20], [0, 0, 5], [0, -0.1, 20]])  # coronal, 100 um/px, y = 5 mm
    >>> disc = [MultiPolygon([Point(200, 200).buffer(radius)]) for radius in (100, 75)]
    >>> contours = PlaneContours(to_world, pial=disc[0], white=disc[1])
    >>> round(contours.pial.area / 100)  # mm2
    314
    """

    to_world: NDArray[np.float64]
    pial: shapely.MultiPolygon
    white: shapely.MultiPolygon


@dataclass(frozen=True, slots=True)
class Grid:
    """A cubic voxel grid in the frame of a section stack.

    Parameters
    ----------
    axes : (3, 3) float64
        Columns: unit vectors in world space of the grid's three axes; the third is the stacking axis.
    origin : (3,) float64
        World position of voxel (0, 0, 0), mm.
    voxel_mm : float
        Edge length of a voxel.
    shape : tuple of int
        Number of voxels along each axis.
    """

    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    voxel_mm: float
    shape: tuple[int, int, int]

    def world(self, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) voxel indices (fractions allowed) to world positions in mm."""
        return indices @ (self.axes.T * self.voxel_mm) + self.origin

    def indices(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) world positions in mm to fractional voxel indices."""
        return (world - self.origin) @ self.axes / self.voxel_mm


@dataclass(frozen=True, slots=True)
class Stack:
    """Contours of a hemisphere in the index coordinates of a grid, ordered along the stacking axis.

    Parameters
    ----------
    grid : Grid
        The frame.
    heights : (n_planes, 3) float64
        Plane k lies at third index `heights[k, 0] + heights[k, 1] * i + heights[k, 2] * j`.
    order : (n_planes,) int64
        Position of each plane in the sequence that was given.
    pial, white : list of (n_segments, 4) float64
        Boundary segments (i0, j0, i1, j1) of each plane, the inside on their left.
    is_cut : (bool, bool)
        Whether the stack ends by a cut at its first and at its last plane, and not because the cortex does.
    """

    grid: Grid
    heights: NDArray[np.float64]
    order: NDArray[np.int64]
    pial: list[NDArray[np.float64]]
    white: list[NDArray[np.float64]]
    is_cut: Ends = (False, False)

    def is_bridged(self, segments: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Return (n_planes,) in which planes one of the boundaries is not known: undrawn, but drawn on both sides."""
        return undrawn_between(np.array([len(lines) > 0 for lines in segments]))


def stack_contours(contours: Sequence[PlaneContours], voxel_mm: float, is_cut: Ends = (False, False)) -> Stack:
    """Order the planes and lay a grid around all contours.

    Planes may be tilted against each other as long as they do not cross inside the contours' bounding box: each grid
    column meets every plane at its own height.

    Raises
    ------
    SurfaceError
        Fewer than three planes with contours, no white anywhere, planes that coincide or cross.
    """
    n_used = sum(not plane.pial.is_empty for plane in contours)
    if n_used < 3:
        raise SurfaceError(
            "contours", found=f"pial contours in {n_used} of {len(contours)} sections", expected="at least 3 sections"
        )
    if all(plane.white.is_empty for plane in contours):
        hint = "draw the grey/white boundary, or give the name it is drawn under in contours.classes of the manifest"
        raise SurfaceError(
            "contours", found="no white contour in any section", expected="pial and white contours", hint=hint
        )
    to_world = np.stack([plane.to_world for plane in contours])
    axes = stack_axes(to_world)
    origins, normals = to_world[:, :, 2] @ axes, plane_normals(to_world) @ axes
    if normals[:, 2].min() < np.cos(np.radians(MAX_TILT_DEG)):
        found = f"section planes tilted by more than {MAX_TILT_DEG} degrees"
        raise SurfaceError("contours", found=found, expected="nearly parallel sections")
    # height of a plane above (u, v): n . (u, v, t) = n . origin
    slopes = -normals[:, :2] / normals[:, 2:]
    intercepts = origins[:, 2] - (slopes * origins[:, :2]).sum(1)

    rings = {
        name: [_segments(getattr(plane, name), plane.to_world, axes) for plane in contours]
        for name in ("pial", "white")
    }
    points = np.concatenate([segments[:, :2] for segments in rings["pial"] + rings["white"]])
    low, high = points.min(0), points.max(0)
    corners = np.array([[u, v] for u in (low[0], high[0]) for v in (low[1], high[1])])
    heights_mm = intercepts[:, None] + slopes @ corners.T
    order = np.argsort(heights_mm.mean(1), kind="stable")
    gaps = np.diff(heights_mm[order], axis=0)
    if gaps.min() <= 1e-3 * voxel_mm:
        first = int(np.argmin(gaps.min(1)))
        raise SurfaceError(
            "contours",
            f"sections {order[first]} and {order[first + 1]} in stacking order",
            found=f"planes {gaps.min():.4f} mm apart",
            expected="planes that neither coincide nor cross inside the contours",
            hint="check to_world and remove the duplicate section",
        )
    margin = MARGIN_VOXELS * voxel_mm
    bottom = heights_mm.min() - gaps[0].max() - margin
    top = heights_mm.max() + gaps[-1].max() + margin
    start = np.array([*(low - margin), bottom])
    extent = np.array([*(high + margin), top]) - start
    n_voxels = float(np.prod(extent / voxel_mm + 1))
    if n_voxels > MAX_VOXELS:
        found = f"{voxel_mm:g} mm, {n_voxels:.1e} voxels in {' x '.join(f'{mm:.0f}' for mm in extent)} mm"
        hint = "choose larger voxels; contours keep their sub-pixel places in them"
        raise ConfigError("surface.voxel_mm", found=found, expected=f"at most {MAX_VOXELS:.1e} voxels", hint=hint)
    shape = tuple(int(n) for n in np.ceil(extent / voxel_mm).astype(int) + 1)
    grid = Grid(axes, axes @ start, voxel_mm, (shape[0], shape[1], shape[2]))
    heights = np.column_stack([(intercepts + slopes @ start[:2] - start[2]) / voxel_mm, slopes])[order]
    shift = np.tile(start[:2], 2)
    return Stack(
        grid,
        heights,
        order,
        [(rings["pial"][k] - shift) / voxel_mm for k in order],
        [(rings["white"][k] - shift) / voxel_mm for k in order],
        is_cut,
    )


def _segments(
    region: shapely.MultiPolygon, to_world: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    pieces = []
    for part in region.geoms:
        for turn, ring in [(1.0, part.exterior), *((-1.0, hole) for hole in part.interiors)]:
            flat = (shapely.get_coordinates(ring) @ to_world[:, :2].T + to_world[:, 2]) @ axes[:, :2]
            if turn * _twice_area(flat) < 0:
                flat = flat[::-1]
            pieces.append(np.hstack([flat[:-1], flat[1:]]))
    if not pieces:
        return np.empty((0, 4))
    return np.concatenate(pieces)


def _twice_area(ring: NDArray[np.float64]) -> float:
    """Twice the area of a closed (n, 2) ring, positive if it runs counter-clockwise."""
    x, y = (ring - ring[0]).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
