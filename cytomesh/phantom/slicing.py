"""Cut the true surfaces with a section plane, and fill the polygons on a pixel grid."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.errors import SurfaceError


def cut(
    vertices: NDArray[np.float64], faces: NDArray[np.int64], height: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Cut a mesh at height 0.

    Parameters
    ----------
    vertices : (n, k) float64
        Vertex positions in any coordinates; the rings are in the same.
    faces : (m, 3) int64
        All faces that meet the plane must be there.
    height : (n,) float64
        Signed distance of each vertex from the plane.

    Returns
    -------
    list of (r, k) float64
        Closed rings, the first point not repeated.
    """
    height = np.where(height == 0, 1e-9, height)  # a vertex on the plane counts as above it
    above = height > 0
    crossing = faces[above[faces].any(axis=1) & ~above[faces].all(axis=1)]
    if not len(crossing):
        return []
    corners = np.stack([crossing, np.roll(crossing, -1, axis=1)], axis=-1)  # (m, 3 edges, 2 ends)
    is_cut = above[corners[..., 0]] != above[corners[..., 1]]
    codes = np.sort(corners, axis=-1) @ np.array([len(vertices), 1])
    edges, number = np.unique(codes[is_cut], return_inverse=True)
    a, b = np.divmod(edges, len(vertices))
    share = (height[a] / (height[a] - height[b]))[:, None]
    points = vertices[a] + (vertices[b] - vertices[a]) * share
    # a triangle that meets the plane has exactly two cut edges, and a cut edge two triangles
    neighbours: list[list[int]] = [[] for _ in edges]
    for u, v in number.reshape(-1, 2).tolist():
        neighbours[u].append(v)
        neighbours[v].append(u)
    if any(len(pair) != 2 for pair in neighbours):
        raise SurfaceError("phantom surface", found="a cut that does not close", expected="a closed mesh")
    return [points[ring] for ring in _rings(neighbours)]


def polygons(rings: list[NDArray[np.float64]], min_area: float) -> MultiPolygon:
    """Make polygons with holes from (r, 2) rings by the even-odd rule; specks below `min_area` are left out.

    Raises
    ------
    SurfaceError
        If rings cross themselves or each other.
    """
    parts = [Polygon(ring) for ring in rings if len(ring) > 3]
    parts = [part for part in parts if part.area >= min_area]
    if not parts:
        return MultiPolygon()
    built = shapely.build_area(shapely.MultiLineString([part.exterior for part in parts]))
    result = MultiPolygon([built]) if isinstance(built, Polygon) else MultiPolygon(list(built.geoms))
    if not all(part.is_valid for part in parts) or not result.is_valid:
        raise SurfaceError("phantom surface", found="a section whose contours cross", expected="separate banks")
    return result


def fill(area: MultiPolygon, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixel centres, (h, w) bool, lie inside; polygons are in (column, row), centres at integers.

    Even-odd scan lines: each row is switched at the columns where a ring crosses it.
    """
    height, width = shape
    switches = np.zeros((height, width + 1), bool)
    for ring in _all_rings(area):
        start, end = ring[:-1], ring[1:]
        low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        first = np.clip(np.ceil(low), 0, height).astype(np.int64)
        last = np.clip(np.ceil(high), 0, height).astype(np.int64)  # half-open, so that shared corners count once
        count = last - first
        segment = np.repeat(np.arange(len(start)), count)
        row = np.arange(len(segment)) - np.repeat(np.cumsum(count) - count, count) + first[segment]
        share = (row - start[segment, 1]) / (end[segment, 1] - start[segment, 1])
        column = start[segment, 0] + share * (end[segment, 0] - start[segment, 0])
        np.logical_xor.at(switches, (row, np.clip(np.ceil(column), 0, width).astype(np.int64)), True)
    return np.asarray(np.logical_xor.accumulate(switches, axis=1)[:, :width])


def _all_rings(area: MultiPolygon) -> list[NDArray[np.float64]]:
    return [np.asarray(ring.coords) for part in area.geoms for ring in (part.exterior, *part.interiors)]


def _rings(neighbours: list[list[int]]) -> list[list[int]]:
    seen = [False] * len(neighbours)
    rings = []
    for start in range(len(neighbours)):
        if seen[start]:
            continue
        ring, before, current = [], -1, start
        while not seen[current]:
            seen[current] = True
            ring.append(current)
            first, second = neighbours[current]
            before, current = current, (second if first == before else first)
        rings.append(ring)
    return rings
