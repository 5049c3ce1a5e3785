"""Compiled code of `geodesics`: a front runs over the triangles from one vertex, as far as a radius.

`mesh` is (start, twin, length) of the half-edges, see `geodesics.HalfEdges`; `scratch` is what `_scratch` makes.
"""

from __future__ import annotations

import math

import numpy as np

from cytomesh.surface.compiled import kernel
from cytomesh.surface.halfedge import next_half_edge

# Triangles that the light through one edge may pass; more than a handful only where triangles are very long.
MAX_TRIANGLES = 8


@kernel
def run_fronts(sources, indptr, leaving, mesh, is_wanted, radius):  # type: ignore[no-untyped-def]
    """Run one front a source; return how many wanted vertices not below the source each found, which, and how far."""
    n = len(is_wanted)
    distance, is_final, touched = np.full(n, np.inf), np.zeros(n, np.bool_), np.empty(n, np.int32)
    capacity = 1 << 16
    indices, values = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
    counts = np.zeros(len(sources), np.int64)
    filled = 0
    for number, source in enumerate(sources):
        n_touched = run_front(source, indptr, leaving, mesh, radius, distance, is_final, touched)
        if filled + n_touched > capacity:
            capacity = 2 * (filled + n_touched)
            grown_indices, grown_values = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
            grown_indices[:filled], grown_values[:filled] = indices[:filled], values[:filled]
            indices, values = grown_indices, grown_values
        before = filled
        for v in np.sort(touched[:n_touched]):
            if v >= source and is_wanted[v]:
                indices[filled], values[filled] = v, distance[v]
                filled += 1
            distance[v], is_final[v] = np.inf, False
        counts[number] = filled - before
    return counts, indices[:filled].copy(), values[:filled].copy()


@kernel
def run_front(source, indptr, leaving, mesh, radius, distance, is_final, touched):  # type: ignore[no-untyped-def]
    """Run one front; return how many vertices it touched. Vertices become final in order of their distance."""
    start, _, length = mesh
    scratch = _scratch()
    found, found_distance = scratch[2], scratch[3]
    keys, items = np.empty(1024, np.float64), np.empty(1024, np.int32)
    keys[0], items[0] = 0.0, source
    size, n_touched = 1, 1
    distance[source], touched[0] = 0.0, source
    while size:
        v = items[0]
        size -= 1
        _sift_down(keys, items, size)
        if is_final[v]:
            continue
        is_final[v] = True
        here = distance[v]
        for corner in range(indptr[v], indptr[v + 1]):
            out = leaving[corner]
            back = next_half_edge(next_half_edge(out))  # the half-edge of the same triangle that comes back to v
            a, b = start[next_half_edge(out)], start[back]
            found[0], found_distance[0] = a, here + length[out]
            found[1], found_distance[1] = b, here + length[back]  # on a border, no half-edge leads out to b
            n_found = 2
            if v == source:
                n_found = _see_around(out, mesh, is_final, scratch, n_found)
            if is_final[a]:
                n_found = _see_through(out, here, distance[a], mesh, is_final, scratch, n_found)
            if is_final[b]:
                n_found = _see_through(back, distance[b], here, mesh, is_final, scratch, n_found)
            for i in range(n_found):
                c, candidate = found[i], found_distance[i]
                if is_final[c] or candidate >= distance[c] or candidate > radius:
                    continue
                if distance[c] == np.inf:
                    touched[n_touched] = c
                    n_touched += 1
                distance[c] = candidate
                if size == len(keys):
                    keys, items = _doubled(keys), _doubled(items)
                _sift_up(keys, items, size, candidate, c)
                size += 1
    return n_touched


@kernel
def _scratch():  # type: ignore[no-untyped-def]
    """Windows and edges that light has still to pass, and the vertices it found with their distances."""
    windows, edges = np.empty((2 * MAX_TRIANGLES, 8), np.float64), np.empty(2 * MAX_TRIANGLES, np.int32)
    return windows, edges, np.empty(4 * MAX_TRIANGLES, np.int32), np.empty(4 * MAX_TRIANGLES, np.float64)


@kernel
def _see_through(edge, da, db, mesh, is_final, scratch, n_found):  # type: ignore[no-untyped-def]
    """Add what the source sees through an edge whose ends are final, laid out as A = (0, 0) and B = (ab, 0)."""
    ab = mesh[2][edge]
    if ab <= 0.0:
        return n_found
    sx = 0.5 * (ab + (da - db) * (da + db) / ab)
    sy2 = da * da - sx * sx
    if sy2 <= 0.0:
        return n_found
    sy = -math.sqrt(sy2)
    scratch[1][0] = edge
    _put(scratch[0][0], 0.0, 0.0, ab, 0.0, -sx, -sy, ab - sx, -sy)
    return _shine(sx, sy, mesh, is_final, scratch, n_found)


@kernel
def _see_around(out, mesh, is_final, scratch, n_found):  # type: ignore[no-untyped-def]
    """Add what the source sees through the far edge of one of its own triangles: source at (0, 0), A at (va, 0)."""
    far = next_half_edge(out)
    twin, length = mesh[1], mesh[2]
    va, ab, vb = length[out], length[far], length[next_half_edge(far)]
    if twin[far] < 0 or va <= 0.0:
        return n_found
    bx = 0.5 * (va + (vb - ab) * (vb + ab) / va)
    by = math.sqrt(max(vb * vb - bx * bx, 0.0))
    scratch[1][0] = twin[far]
    _put(scratch[0][0], bx, by, va, 0.0, bx, by, va, 0.0)
    return _shine(0.0, 0.0, mesh, is_final, scratch, n_found)


@kernel
def _shine(sx, sy, mesh, is_final, scratch, n_found):  # type: ignore[no-untyped-def]
    """Add the vertices that the light of a source at (sx, sy) reaches through the first edge, and how far they are.

    A window holds the left and the right end of its edge, and the left and the right ray that bound the light.
    Light goes on through a triangle whose far vertex is not final: it may be obtuse, and farther than what lies behind.
    """
    start, twin, length = mesh
    windows, edges, found, found_distance = scratch
    size, n_triangles = 1, 0
    while size and n_triangles < MAX_TRIANGLES:
        size -= 1
        n_triangles += 1
        edge, window = edges[size], windows[size]
        px, py, qx, qy = window[0], window[1], window[2], window[3]
        lx, ly, rx, ry = window[4], window[5], window[6], window[7]
        right, left = next_half_edge(edge), next_half_edge(next_half_edge(edge))
        c = start[left]
        pq, qc, cp = length[edge], length[right], length[left]
        if pq <= 0.0:
            continue
        along = 0.5 * (pq + (cp - qc) * (cp + qc) / pq)
        across = math.sqrt(max(cp * cp - along * along, 0.0))
        ux, uy = (qx - px) / pq, (qy - py) / pq
        cx, cy = px + along * ux - across * uy, py + along * uy + across * ux
        dx, dy = cx - sx, cy - sy
        is_right_of_left = lx * dy - ly * dx <= 0.0
        is_left_of_right = rx * dy - ry * dx >= 0.0
        if is_right_of_left and is_left_of_right:
            found[n_found], found_distance[n_found] = c, math.sqrt(dx * dx + dy * dy)
            n_found += 1
        if is_final[c]:
            continue  # what lies behind is seen through its edges
        # C parts the light that falls on it; light beside it passes the edge on its other side only
        if is_right_of_left and twin[left] >= 0:
            right_x, right_y = (dx, dy) if is_left_of_right else (rx, ry)
            edges[size] = twin[left]
            _put(windows[size], px, py, cx, cy, lx, ly, right_x, right_y)
            size += 1
        if is_left_of_right and twin[right] >= 0:
            left_x, left_y = (dx, dy) if is_right_of_left else (lx, ly)
            edges[size] = twin[right]
            _put(windows[size], cx, cy, qx, qy, left_x, left_y, rx, ry)
            size += 1
    return n_found


@kernel
def _put(window, px, py, qx, qy, lx, ly, rx, ry):  # type: ignore[no-untyped-def]
    window[0], window[1], window[2], window[3] = px, py, qx, qy
    window[4], window[5], window[6], window[7] = lx, ly, rx, ry


@kernel
def _doubled(values):  # type: ignore[no-untyped-def]
    grown = np.empty(2 * len(values), values.dtype)
    grown[: len(values)] = values
    return grown


@kernel
def _sift_up(keys, items, place, key, item):  # type: ignore[no-untyped-def]
    """Put an entry into the heap of `place` entries."""
    while place:
        parent = (place - 1) >> 1
        if keys[parent] <= key:
            break
        keys[place], items[place] = keys[parent], items[parent]
        place = parent
    keys[place], items[place] = key, item


@kernel
def _sift_down(keys, items, size):  # type: ignore[no-untyped-def]
    """Close the gap at the top with the last entry, which stands at `size`."""
    key, item = keys[size], items[size]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[place], items[place] = keys[child], items[child]
        place = child
    keys[place], items[place] = key, item
