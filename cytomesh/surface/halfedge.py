"""Half-edge kernels on closed triangle surfaces: collapse, split and flip of edges that keep the surface a manifold.

Half-edge h = 3 f + c runs from corner c of face f to the next corner. Arrays: `faces` (m, 3), first entry -1 for a
removed face; `twin` (3 m,), the opposite half-edge; `leaving` (n,), one half-edge that starts at a vertex, -1 for a
removed vertex; `points` (n, 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel
from cytomesh.surface.tracing import value

MAX_VALENCE = 48
FLATTEST = 0.3
"""Least cosine between a triangle's normal before and after an operation."""
SAG = 0.2
"""Furthest that the middle of a new edge may be from the level, in units of the field: thin stalks keep short edges."""


@kernel
def twins(faces):  # type: ignore[no-untyped-def]
    """Return (3 m,) the opposite half-edge of each half-edge of a consistently oriented surface; -1 on its border."""
    if len(faces) == 0:
        return np.empty(0, np.int64)
    n = faces.max() + 1
    starts = np.zeros(n + 2, np.int64)
    for f in range(len(faces)):
        for c in range(3):
            starts[faces[f, c] + 2] += 1
    starts = np.cumsum(starts)
    members = np.empty(3 * len(faces), np.int64)
    for h in range(3 * len(faces)):
        v = faces[h // 3, h % 3] + 1
        members[starts[v]] = h
        starts[v] += 1
    result = np.full(3 * len(faces), -1, np.int64)
    for h in range(3 * len(faces)):
        u, v = faces[h // 3, h % 3], _end(faces, h)
        for m in range(starts[v], starts[v + 1]):
            if _end(faces, members[m]) == u:
                result[h] = members[m]
    return result


def leaving(faces: NDArray[np.int64], n_vertices: int) -> NDArray[np.int64]:
    """Return (n,) one half-edge that starts at each vertex."""
    result = np.full(n_vertices, -1, np.int64)
    result[faces.reshape(-1)] = np.arange(faces.size)
    return result


@kernel
def next_half_edge(h):  # type: ignore[no-untyped-def]
    """Return the next half-edge around the same triangle."""
    return h - 2 if h % 3 == 2 else h + 1


@kernel
def previous_half_edge(h):  # type: ignore[no-untyped-def]
    """Return the half-edge before, around the same triangle."""
    return h + 2 if h % 3 == 0 else h - 1


@kernel
def _end(faces, h):  # type: ignore[no-untyped-def]
    return faces[h // 3, (h + 1) % 3]


@kernel
def _ring(twin, first, ring):  # type: ignore[no-untyped-def]
    """Write the half-edges that leave a vertex; return their number, or -1 if there are too many."""
    h, n = first, 0
    while True:
        if n == len(ring):
            return -1
        ring[n] = h
        n += 1
        h = twin[previous_half_edge(h)]
        if h == first:
            return n


@kernel
def _length2(p, q):  # type: ignore[no-untyped-def]
    return (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2


@kernel
def _normal(p, q, r, out):  # type: ignore[no-untyped-def]
    ax, ay, az = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    bx, by, bz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    out[0] = ay * bz - az * by
    out[1] = az * bx - ax * bz
    out[2] = ax * by - ay * bx
    norm = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    if norm > 0:
        out[0] /= norm
        out[1] /= norm
        out[2] /= norm
    return norm


@kernel
def _keeps_normals(faces, points, ring, n, moved, place, skip0, skip1, old, new):  # type: ignore[no-untyped-def]
    for r in range(n):
        f = ring[r] // 3
        if f in (skip0, skip1):
            continue
        h = ring[r]
        q, s = points[_end(faces, h)], points[_end(faces, next_half_edge(h))]
        was = _normal(points[moved], q, s, old)
        area = _normal(place, q, s, new)
        # slivers have no reliable normal: they may turn, but nothing may become one
        if area < 1e-9 or (was > 1e-3 and old[0] * new[0] + old[1] * new[1] + old[2] * new[2] < FLATTEST):
            return False
    return True


@kernel
def _fits(p, q, field, level, longest):  # type: ignore[no-untyped-def]
    length2 = _length2(p, q)
    if length2 >= longest * longest:
        return False
    if length2 < 1.0:  # within a voxel the level is nearly flat
        return True
    middle = value(field, 0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1]), 0.5 * (p[2] + q[2]))
    return abs(middle - level) < SAG


@kernel
def _ring_fits(faces, points, ring, n, place, field, level, longest):  # type: ignore[no-untyped-def]
    r = 0
    while r < n and _fits(place, points[_end(faces, ring[r])], field, level, longest):
        r += 1
    return r == n


@kernel
def collapse_short(faces, twin, leaving, points, field, level, shortest, longest):  # type: ignore[no-untyped-def]
    """Collapse edges below `shortest` where the link condition holds, to a midpoint near the level of the field."""
    ring_u, ring_v = np.empty(MAX_VALENCE, np.int64), np.empty(MAX_VALENCE, np.int64)
    ring = np.empty(MAX_VALENCE, np.int64)
    place, old, new = np.empty(3), np.empty(3), np.empty(3)
    n_collapsed = 0
    for h in range(3 * len(faces)):
        f0 = h // 3
        if faces[f0, 0] < 0:
            continue
        u, v = faces[f0, h % 3], _end(faces, h)
        if u > v or _length2(points[u], points[v]) >= shortest * shortest:
            continue
        g = twin[h]
        f1 = g // 3
        a, b = _end(faces, next_half_edge(h)), _end(faces, next_half_edge(g))
        n_u, n_v = _ring(twin, leaving[u], ring_u), _ring(twin, leaving[v], ring_v)
        if n_u < 0 or n_v < 0 or a == b or n_u + n_v - 4 > MAX_VALENCE // 2:
            continue
        n_common = 0
        for r in range(n_u):
            for s in range(n_v):
                if _end(faces, ring_u[r]) == _end(faces, ring_v[s]):
                    n_common += 1
        if n_common != 2 or n_u + n_v - 4 < 3:
            continue
        if _ring(twin, leaving[a], ring) == 3:
            continue
        if _ring(twin, leaving[b], ring) == 3:
            continue
        for c in range(3):
            place[c] = 0.5 * (points[u, c] + points[v, c])
        if abs(value(field, place[0], place[1], place[2]) - level) >= SAG:
            continue
        if not _ring_fits(faces, points, ring_u, n_u, place, field, level, longest):
            continue
        if not _ring_fits(faces, points, ring_v, n_v, place, field, level, longest):
            continue
        if not _keeps_normals(faces, points, ring_u, n_u, u, place, f0, f1, old, new):
            continue
        if not _keeps_normals(faces, points, ring_v, n_v, v, place, f0, f1, old, new):
            continue
        for r in range(n_v):
            faces[ring_v[r] // 3, ring_v[r] % 3] = u
        t1, t2 = twin[next_half_edge(h)], twin[previous_half_edge(h)]
        s1, s2 = twin[next_half_edge(g)], twin[previous_half_edge(g)]
        twin[t1], twin[t2], twin[s1], twin[s2] = t2, t1, s2, s1
        leaving[u], leaving[a], leaving[b], leaving[v] = t2, t1, s1, -1
        faces[f0, 0] = -1
        faces[f1, 0] = -1
        points[u] = place
        n_collapsed += 1
    return n_collapsed


@kernel
def flip_uneven(faces, twin, leaving, points, field, level):  # type: ignore[no-untyped-def]
    """Flip edges where that brings the number of neighbours of the four vertices closer to six."""
    ring = np.empty(MAX_VALENCE, np.int64)
    one, two, three, four = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    valence = np.zeros(len(points), np.int64)
    for f in range(len(faces)):
        if faces[f, 0] >= 0:
            for c in range(3):
                valence[faces[f, c]] += 1
    n_flipped = 0
    for h in range(3 * len(faces)):
        f0 = h // 3
        if faces[f0, 0] < 0:
            continue
        g = twin[h]
        if g < h:
            continue
        f1 = g // 3
        u, v = faces[f0, h % 3], _end(faces, h)
        a, b = _end(faces, next_half_edge(h)), _end(faces, next_half_edge(g))
        before = (valence[u] - 6) ** 2 + (valence[v] - 6) ** 2 + (valence[a] - 6) ** 2 + (valence[b] - 6) ** 2
        after = (valence[u] - 7) ** 2 + (valence[v] - 7) ** 2 + (valence[a] - 5) ** 2 + (valence[b] - 5) ** 2
        if after >= before or valence[u] < 4 or valence[v] < 4 or a == b:
            continue
        n = _ring(twin, leaving[a], ring)
        exists = n < 0
        for r in range(n):
            exists |= _end(faces, ring[r]) == b
        if exists:
            continue
        _normal(points[u], points[v], points[a], one)
        _normal(points[v], points[u], points[b], two)
        small = min(_normal(points[a], points[u], points[b], three), _normal(points[b], points[v], points[a], four))
        worst = 1.0
        for was in (one, two):
            for now in (three, four):
                worst = min(worst, was[0] * now[0] + was[1] * now[1] + was[2] * now[2])
        if small < 1e-9 or worst < FLATTEST or not _fits(points[a], points[b], field, level, np.inf):
            continue
        n0, p0, n1, p1 = (
            twin[next_half_edge(h)],
            twin[previous_half_edge(h)],
            twin[next_half_edge(g)],
            twin[previous_half_edge(g)],
        )
        faces[f0, 0], faces[f0, 1], faces[f0, 2] = a, u, b
        faces[f1, 0], faces[f1, 1], faces[f1, 2] = b, v, a
        x, y = 3 * f0, 3 * f1
        twin[x], twin[x + 1], twin[x + 2] = p0, n1, y + 2
        twin[y], twin[y + 1], twin[y + 2] = p1, n0, x + 2
        twin[p0], twin[n1], twin[p1], twin[n0] = x, x + 1, y, y + 1
        leaving[a], leaving[u], leaving[b], leaving[v] = x, x + 1, y, y + 1
        valence[u] -= 1
        valence[v] -= 1
        valence[a] += 1
        valence[b] += 1
        n_flipped += 1
    return n_flipped


@kernel
def split_long(faces, twin, leaving, points, longest):  # type: ignore[no-untyped-def]
    """Split edges above `longest` at their midpoint; returns enlarged arrays."""
    n_faces, n_points = len(faces), len(points)
    n_old = 3 * n_faces
    for h in range(n_old):
        f0 = h // 3
        if faces[f0, 0] < 0:
            continue
        u, v = faces[f0, h % 3], _end(faces, h)
        if u > v or _length2(points[u], points[v]) <= longest * longest:
            continue
        if n_points == len(points):
            points = np.concatenate((points, np.empty_like(points)))
            leaving = np.concatenate((leaving, np.full(len(leaving), -1, np.int64)))
        if n_faces + 2 > len(faces):
            faces = np.concatenate((faces, np.full((len(faces) + 2, 3), -1, np.int64)))
            twin = np.concatenate((twin, np.full(3 * len(faces) - len(twin), -1, np.int64)))
        g = twin[h]
        f1 = g // 3
        a, b = _end(faces, next_half_edge(h)), _end(faces, next_half_edge(g))
        n0, p0, n1, p1 = (
            twin[next_half_edge(h)],
            twin[previous_half_edge(h)],
            twin[next_half_edge(g)],
            twin[previous_half_edge(g)],
        )
        m, f2, f3 = n_points, n_faces, n_faces + 1
        n_points += 1
        n_faces += 2
        for c in range(3):
            points[m, c] = 0.5 * (points[u, c] + points[v, c])
        faces[f0, 0], faces[f0, 1], faces[f0, 2] = u, m, a
        faces[f2, 0], faces[f2, 1], faces[f2, 2] = m, v, a
        faces[f1, 0], faces[f1, 1], faces[f1, 2] = v, m, b
        faces[f3, 0], faces[f3, 1], faces[f3, 2] = m, u, b
        w, x, y, z = 3 * f0, 3 * f1, 3 * f2, 3 * f3
        twin[w], twin[w + 1], twin[w + 2] = z, y + 2, p0
        twin[y], twin[y + 1], twin[y + 2] = x, n0, w + 1
        twin[x], twin[x + 1], twin[x + 2] = y, z + 2, p1
        twin[z], twin[z + 1], twin[z + 2] = w, n1, x + 1
        twin[p0], twin[n0], twin[p1], twin[n1] = w + 2, y + 1, x + 2, z + 1
        leaving[u], leaving[v], leaving[m], leaving[a], leaving[b] = w, x, y, w + 2, x + 2
    return faces[:n_faces], twin[: 3 * n_faces], leaving[:n_points], points[:n_points]


@kernel
def relax(faces, points, share):  # type: ignore[no-untyped-def]
    """Move vertices towards the mean of the triangles around them, within the tangent plane (area weights)."""
    normals, centres, weights = np.zeros_like(points), np.zeros_like(points), np.zeros(len(points))
    normal = np.empty(3)
    for f in range(len(faces)):
        p, q, r = faces[f, 0], faces[f, 1], faces[f, 2]
        area = _normal(points[p], points[q], points[r], normal)
        for v in (p, q, r):
            weights[v] += area
            for c in range(3):
                normals[v, c] += area * normal[c]
                centres[v, c] += area * (points[p, c] + points[q, c] + points[r, c]) / 3.0
    result = points.copy()
    for v in range(len(points)):
        norm = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if weights[v] <= 0 or norm <= 0:
            continue
        along = 0.0
        for c in range(3):
            centres[v, c] = centres[v, c] / weights[v] - points[v, c]
            along += centres[v, c] * normals[v, c] / norm
        for c in range(3):
            result[v, c] += share * (centres[v, c] - along * normals[v, c] / norm)
    return result
