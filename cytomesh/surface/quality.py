"""How good a surface is: self-intersections, distances between surfaces, distance to the contours it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.surface.cells import Cells, sort_into_cells
from cytomesh.surface.compiled import kernel
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.stack import PlaneContours


@dataclass(frozen=True, slots=True)
class Distances:
    """Unsigned distances between two surfaces, mm, each way: mean and 95th percentile.

    Parameters
    ----------
    forward_mean_mm, forward_p95_mm : float
        From the vertices of the first surface to the second.
    backward_mean_mm, backward_p95_mm : float
        From the vertices of the second surface to the first.
    """

    forward_mean_mm: float
    forward_p95_mm: float
    backward_mean_mm: float
    backward_p95_mm: float


def surface_distances(first: Mesh, second: Mesh) -> Distances:
    """Exact vertex-to-surface distances both ways."""
    forward = point_to_surface(first.vertices, second)
    backward = point_to_surface(second.vertices, first)
    return Distances(
        float(forward.mean()),
        float(np.percentile(forward, 95)),
        float(backward.mean()),
        float(np.percentile(backward, 95)),
    )


def point_to_surface(points: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    """Return (n,) exact distances from points to the nearest triangle, mm.

    The nearest vertex bounds the distance; every triangle whose bounding box is nearer than that is then examined.
    """
    is_used = np.zeros(mesh.n_vertices, bool)
    is_used[mesh.faces] = True
    bound, _ = cKDTree(mesh.vertices[is_used]).query(points)
    corners = mesh.vertices[mesh.faces]
    low, high = _boxes(mesh.vertices, mesh.faces)
    cells = _bin(low, high, np.ones(mesh.n_faces, bool))
    return np.asarray(_closest(np.ascontiguousarray(points, np.float64), bound, corners, *cells))


def self_intersections(mesh: Mesh, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return (k, 2) pairs of triangles that cross each other.

    Triangles with a common vertex count when an edge of one crosses the other away from that vertex; triangles with
    a common edge are left out. `among` limits the search to pairs with at least one of the marked triangles.
    """
    wanted = np.ones(mesh.n_faces, bool) if among is None else among
    low, high = _boxes(mesh.vertices, mesh.faces)
    cells = _bin(low, high, wanted)
    return np.asarray(_crossing_pairs(mesh.vertices, mesh.faces, low, high, wanted, *cells))


def contour_distances(surface: Mesh, contours: Sequence[PlaneContours], boundary: str) -> NDArray[np.float64]:
    """Return (n_sections, 2) mean and 95th percentile of the distance from contour points to the surface, mm.

    Parameters
    ----------
    surface : Mesh
        Pial or white.
    contours : sequence of PlaneContours
        The sections.
    boundary : {"pial", "white"}
        Which contours to measure from. Sections without them give NaN.
    """
    result = np.full((len(contours), 2), np.nan)
    for n, here in enumerate(contour_point_distances(surface, contours, boundary)):
        if len(here):
            result[n] = here.mean(), np.percentile(here, 95)
    return result


def contour_point_distances(
    surface: Mesh, contours: Sequence[PlaneContours], boundary: str
) -> list[NDArray[np.float64]]:
    """Return the distances of each section's contour points to the surface, mm; see `contour_distances`."""
    points = [np.empty((0, 3))]
    for plane in contours:
        pixels = shapely.get_coordinates(getattr(plane, boundary))
        points.append(pixels @ plane.to_world[:, :2].T + plane.to_world[:, 2])
    distance = point_to_surface(np.concatenate(points), surface)
    return np.split(distance, np.cumsum([len(part) for part in points])[:-1])[1:]


def _bin(low: NDArray[np.float64], high: NDArray[np.float64], wanted: NDArray[np.bool_]) -> Cells:
    """Sort bounding boxes into cells about as large as they are; those without a wanted one stay empty."""
    few = slice(None, None, 1 + len(low) // 10_000)
    size = float(max(np.percentile((high[few] - low[few]).max(1), 90), 1e-9))
    # a cell for every few cubic edge lengths at most: meshes with very small triangles in a large box
    extent = high.max(0) - low.min(0)
    return sort_into_cells(low, high, wanted, max(size, float((extent.prod() / 2e7) ** (1 / 3))))


@kernel
def _boxes(vertices, faces):  # type: ignore[no-untyped-def]
    low, high = np.empty((len(faces), 3)), np.empty((len(faces), 3))
    for f in range(len(faces)):
        for c in range(3):
            x, y, z = vertices[faces[f, 0], c], vertices[faces[f, 1], c], vertices[faces[f, 2], c]
            low[f, c], high[f, c] = min(x, y, z), max(x, y, z)
    return low, high


@kernel
def _point_triangle(p, t):  # type: ignore[no-untyped-def]
    """Squared distance from a point to a triangle (Ericson, Real-Time Collision Detection, 5.1.5)."""
    ux, uy, uz = t[1, 0] - t[0, 0], t[1, 1] - t[0, 1], t[1, 2] - t[0, 2]
    vx, vy, vz = t[2, 0] - t[0, 0], t[2, 1] - t[0, 1], t[2, 2] - t[0, 2]
    x, y, z = p[0] - t[0, 0], p[1] - t[0, 1], p[2] - t[0, 2]
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    d1, d2 = ux * x + uy * y + uz * z, vx * x + vy * y + vz * z
    d3, d4 = d1 - uu, d2 - uv
    d5, d6 = d1 - uv, d2 - vv
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    # the nearest point is corner 0 + a u + b v
    if d1 <= 0 and d2 <= 0:
        a, b = 0.0, 0.0
    elif d3 >= 0 and d4 <= d3:
        a, b = 1.0, 0.0
    elif d6 >= 0 and d5 <= d6:
        a, b = 0.0, 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        a, b = d1 / (d1 - d3), 0.0
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        a, b = 0.0, d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        b = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        a = 1.0 - b
    else:
        total = va + vb + vc
        a, b = vb / total, vc / total
    x, y, z = x - a * ux - b * vx, y - a * uy - b * vy, z - a * uz - b * vz
    return x * x + y * y + z * z


@kernel
def _closest(points, bound, corners, origin, size, shape, starts, members):  # type: ignore[no-untyped-def]
    result = np.empty(len(points))
    a, b = np.empty(3, np.int64), np.empty(3, np.int64)
    for n in range(len(points)):
        p = points[n]
        reach = bound[n] * (1 + 1e-9) + 1e-12
        best = reach * reach
        for c in range(3):
            a[c] = max(int(np.floor((p[c] - reach - origin[c]) / size)), 0)
            b[c] = min(int(np.floor((p[c] + reach - origin[c]) / size)), shape[c] - 1)
        for i in range(a[0], b[0] + 1):
            for j in range(a[1], b[1] + 1):
                for k in range(a[2], b[2] + 1):
                    cell = (i * shape[1] + j) * shape[2] + k
                    for m in range(starts[cell], starts[cell + 1]):
                        d = _point_triangle(p, corners[members[m]])
                        if d < best:
                            best = d
        result[n] = np.sqrt(best)
    return result


@kernel
def _orient(a, b, c, d):  # type: ignore[no-untyped-def]
    ax, ay, az = a[0] - d[0], a[1] - d[1], a[2] - d[2]
    bx, by, bz = b[0] - d[0], b[1] - d[1], b[2] - d[2]
    cx, cy, cz = c[0] - d[0], c[1] - d[1], c[2] - d[2]
    return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)


@kernel
def _segment_crosses(p, q, t):  # type: ignore[no-untyped-def]
    u, v = _orient(t[0], t[1], t[2], p), _orient(t[0], t[1], t[2], q)
    if u * v >= 0:
        return False
    a = _orient(p, q, t[0], t[1])
    b = _orient(p, q, t[1], t[2])
    c = _orient(p, q, t[2], t[0])
    return (a > 0 and b > 0 and c > 0) or (a < 0 and b < 0 and c < 0)


@kernel
def _triangles_cross(s, t, fs, ft):  # type: ignore[no-untyped-def]
    n_shared = 0
    for a in range(3):
        for b in range(3):
            if fs[a] == ft[b]:
                n_shared += 1
    if n_shared > 1:
        return False
    for a in range(3):
        b = (a + 1) % 3
        touches = False
        for c in range(3):
            touches |= fs[a] == ft[c] or fs[b] == ft[c]
        if not touches and _segment_crosses(s[a], s[b], t):
            return True
        touches = False
        for c in range(3):
            touches |= ft[a] == fs[c] or ft[b] == fs[c]
        if not touches and _segment_crosses(t[a], t[b], s):
            return True
    return False


@kernel
def _crossing_pairs(vertices, faces, low, high, wanted, origin, size, shape, starts, members):  # type: ignore[no-untyped-def]
    pairs = np.empty((1024, 2), np.int64)
    s, t = np.empty((3, 3)), np.empty((3, 3))
    n = 0
    for cell in range(len(starts) - 1):
        for x in range(starts[cell], starts[cell + 1]):
            for y in range(x + 1, starts[cell + 1]):
                f, g = members[x], members[y]
                if not (wanted[f] or wanted[g]):
                    continue
                apart = False
                home = 0
                for c in range(3):
                    corner = max(low[f, c], low[g, c])
                    apart |= corner > min(high[f, c], high[g, c])
                    home = home * shape[c] + int((corner - origin[c]) / size)
                # a pair that shares several cells is tested in the one that holds the overlap's lower corner
                if apart or home != cell:
                    continue
                for c in range(3):
                    s[c], t[c] = vertices[faces[f, c]], vertices[faces[g, c]]
                if _triangles_cross(s, t, faces[f], faces[g]):
                    if n == len(pairs):
                        pairs = np.concatenate((pairs, np.empty_like(pairs)))
                    pairs[n, 0] = min(f, g)
                    pairs[n, 1] = max(f, g)
                    n += 1
    return pairs[:n].copy()
