"""Section contours as an implicit volume: exact in-plane distances, interpolated between the true plane positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.compiled import kernel

MARGIN_VOXELS = 4
FAR = np.float32(1e3)


@dataclass(frozen=True, slots=True)
class PlaneContours:
    """Contours of one hemisphere in one section.

    Parameters
    ----------
    to_world : (3, 3) float64
        Columns: step per pixel column, step per pixel row, centre of pixel (0, 0); RAS, mm.
    pial, white : shapely.MultiPolygon
        Regions inside the two boundaries, in pixels (column, row); either may be empty.
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
    """

    grid: Grid
    heights: NDArray[np.float64]
    order: NDArray[np.int64]
    pial: list[NDArray[np.float64]]
    white: list[NDArray[np.float64]]


def stack_contours(contours: Sequence[PlaneContours], voxel_mm: float) -> Stack:
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
        raise SurfaceError("contours", found="no white contour in any section", expected="pial and white contours")
    axes = _stack_axes(contours)
    origins = np.array([plane.to_world[:, 2] for plane in contours]) @ axes
    normals = np.array([_normal(plane.to_world) for plane in contours]) @ axes
    normals *= np.sign(normals[:, 2:])
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
    )


def plane_fields(stack: Stack, segments: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return (n_planes, ni, nj) signed distances in mm, positive inside; planes without contours are filled in.

    The distance is exact to the segments within a few voxels of them (and to the closest of the segments that reach
    a point by propagation further away), not that of a rasterised mask.
    """
    ni, nj, _ = stack.grid.shape
    fields = np.empty((len(segments), ni, nj), np.float32)
    for k, lines in enumerate(segments):
        fields[k] = signed_distance(lines, ni, nj) * stack.grid.voxel_mm if len(lines) else -FAR
    is_empty = np.array([len(lines) == 0 for lines in segments])
    _taper_ends(fields, is_empty)
    _taper_parts(fields, is_empty, stack.grid.voxel_mm)
    return fields


def interpolate(stack: Stack, fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill the grid from plane fields by cubic Hermite interpolation along the stacking axis (unequal spacing).

    Slopes are those of the parabola through three neighbouring planes, which a field that is smooth over three
    sections needs to come out without stair-steps; beyond the outermost planes the field falls off so that the
    surface closes half a spacing outside.
    """
    volume = np.empty(stack.grid.shape, np.float32)
    _interpolate(fields, stack.heights, volume)
    return volume


def signed_distance(segments: NDArray[np.float64], ni: int, nj: int) -> NDArray[np.float32]:
    """Signed distance (index units, positive inside by the even-odd rule) on an ni x nj grid to closed rings."""
    distance = np.sqrt(_squared_distance(segments, ni, nj))
    return np.asarray(np.where(_inside(segments, ni, nj), distance, -distance), np.float32)


def _normal(to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    normal = np.cross(to_world[:, 0], to_world[:, 1])
    return np.asarray(normal / np.linalg.norm(normal))


def _stack_axes(contours: Sequence[PlaneContours]) -> NDArray[np.float64]:
    normals = np.array([_normal(plane.to_world) for plane in contours])
    normals *= np.where(normals @ normals[0] < 0, -1.0, 1.0)[:, None]
    third = normals.mean(0)
    third /= np.linalg.norm(third)
    if (normals @ third).min() < np.cos(np.radians(30)):
        raise SurfaceError(
            "contours", found="section planes tilted by more than 30 degrees", expected="nearly parallel sections"
        )
    first = contours[0].to_world[:, 0]
    first = first - (first @ third) * third
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(third, first), third])


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


def _taper_ends(fields: NDArray[np.float32], is_empty: NDArray[np.bool_]) -> None:
    """Give contour-free planes next to cortex the neighbour's field, lowered so that the surface closes half-way."""
    used = np.flatnonzero(~is_empty)
    for k in np.flatnonzero(is_empty):
        near = used[np.argmin(np.abs(used - k))]
        fields[k] = fields[near] - 2 * abs(int(near) - int(k)) * max(float(fields[near].max()), 1e-3)


def _taper_parts(fields: NDArray[np.float32], is_empty: NDArray[np.bool_], voxel_mm: float) -> None:
    """Let parts and holes that have no counterpart in the next plane end half-way to it.

    Between a part of in-radius r and a plane where the field is -10 mm there, plain interpolation would stop at
    r / (r + 10) of the way, that is at the plane: poles would be cut flat.
    """
    for sign in (np.float32(1), np.float32(-1)):
        labelled = [ndimage.label(sign * field > 0) for field in fields]
        for k in np.flatnonzero(~is_empty):
            labels, n_parts = labelled[k]
            windows = ndimage.find_objects(labels)
            depth = [(sign * fields[k][w])[labels[w] == part].max() for part, w in enumerate(windows, start=1)]
            for neighbour in (k - 1, k + 1):
                if not 0 <= neighbour < len(fields) or is_empty[neighbour]:
                    continue
                is_met = np.bincount(labels[labelled[neighbour][0] > 0], minlength=n_parts + 1)[1:] > 0
                for part in np.flatnonzero(~is_met):
                    window, radius = windows[part], float(depth[part])
                    _taper(fields, (int(k), int(neighbour)), labels, int(part) + 1, window, sign, radius, voxel_mm)


def _taper(
    fields: NDArray[np.float32],
    planes: tuple[int, int],
    labels: NDArray[np.int32],
    part: int,
    place: tuple[slice, ...],
    sign: np.float32,
    radius: float,
    voxel_mm: float,
) -> None:
    k, neighbour = planes
    reach = int(np.ceil(2 * radius / voxel_mm)) + 2
    window = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in place)
    is_other = (labels[window] > 0) & (labels[window] != part)
    here = sign * fields[k][window] - np.float32(2 * radius)
    there = sign * fields[neighbour][window]
    fields[neighbour][window] = sign * np.where(is_other, there, np.maximum(there, here))


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


@kernel
def _interpolate(fields, heights, volume):  # type: ignore[no-untyped-def]
    n = len(heights)
    ni, nj, nk = volume.shape
    at = np.empty(n + 2)
    value = np.empty(n + 2)
    slope = np.empty(n + 2)
    peaks = (fields[0].max(), fields[n - 1].max())
    for i in range(ni):
        for j in range(nj):
            for k in range(n):
                at[k + 1] = heights[k, 0] + heights[k, 1] * i + heights[k, 2] * j
                value[k + 1] = fields[k, i, j]
            at[0] = 2 * at[1] - at[2]
            at[n + 1] = 2 * at[n] - at[n - 1]
            value[0] = value[1] - 2 * max(peaks[0], 1e-3)
            value[n + 1] = value[n] - 2 * max(peaks[1], 1e-3)
            for k in range(1, n + 1):
                h0, h1 = at[k] - at[k - 1], at[k + 1] - at[k]
                s0, s1 = (value[k] - value[k - 1]) / h0, (value[k + 1] - value[k]) / h1
                slope[k] = (s0 * h1 + s1 * h0) / (h0 + h1)
            slope[0] = (value[1] - value[0]) / (at[1] - at[0])
            slope[n + 1] = (value[n + 1] - value[n]) / (at[n + 1] - at[n])
            k = 0
            for z in range(nk):
                while k < n and at[k + 1] < z:
                    k += 1
                h = at[k + 1] - at[k]
                t = (z - at[k]) / h
                if t <= 0.0:
                    volume[i, j, z] = value[k] + t * h * slope[k]
                elif t >= 1.0:
                    volume[i, j, z] = value[k + 1] + (t - 1.0) * h * slope[k + 1]
                else:
                    u = 1.0 - t
                    volume[i, j, z] = (
                        (1.0 + 2.0 * t) * u * u * value[k]
                        + t * u * u * h * slope[k]
                        + t * t * (3.0 - 2.0 * t) * value[k + 1]
                        - t * t * u * h * slope[k + 1]
                    )
