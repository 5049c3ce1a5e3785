"""Drawing surfaces onto the section contours, which know more than the voxels between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import cg

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.cells import Cells, sort_into_cells
from cytomesh.surface.compiled import kernel
from cytomesh.surface.mesh import Mesh

N_ROUNDS = 3
REACH = 3.0
"""Contours further than this many voxels from the surface do not attract it."""
LEAST_COSINE = 0.5
"""A contour attracts only surface that faces its way: never the other bank of a sulcus."""
STIFFNESS = 0.2
"""Weight of the differences between neighbouring vertices' shifts against that of one observation a vertex."""


def fit_to_contours(
    mesh: Mesh, heights: NDArray[np.float64], segments: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the vertices moved along their normals so that the section planes cut the surface in the contours.

    Voxels merge what is closer than their size; the contours of a closed sulcus still say where both banks run. Each
    triangle that a plane cuts gives one observation: the distance from the middle of the cut to the nearest contour
    that faces the same way, turned into a shift along the surface's normal. The shifts d minimise

        sum_o w_o (b_o . d - e_o)^2 + s sum_(i, j) (d_i - d_j)^2

    over observations o (barycentric weights b_o, length of the cut times cosine of the normal to the plane w_o,
    mean one per vertex) and mesh edges (i, j): the least squares fit with a membrane's smoothness. Middles of cuts are
    spread evenly over the triangles, so that these lie around the curved boundary rather than inside it.

    Parameters
    ----------
    mesh : Mesh
        Vertices in voxel indices.
    heights : (n_planes, 3) float64
        Plane k lies at third index `heights[k, 0] + heights[k, 1] * i + heights[k, 2] * j`.
    segments : sequence of (n_segments, 4) float64
        Contour (i0, j0, i1, j1) in each plane, the inside on its left.

    Returns
    -------
    (n, 3) float64
        Voxel indices.
    """
    edges = mesh.adjacency()
    laplacian = sp.diags(np.asarray(edges.sum(axis=1)).ravel()) - edges
    cells = [_cells(lines) if len(lines) else None for lines in segments]
    for _ in range(N_ROUNDS):
        corners, shares, shifts, weights = _observe(mesh, heights, segments, cells)
        if not len(shifts):
            break
        n_seen = len(shifts)
        rows = np.repeat(np.arange(n_seen), 3)
        design = sp.csr_matrix((shares.ravel(), (rows, corners.ravel())), shape=(n_seen, mesh.n_vertices))
        weighted = design.T @ sp.diags(weights * (mesh.n_vertices / weights.sum()))
        # far from any section the shift dies off slowly
        matrix = (weighted @ design + STIFFNESS * laplacian + 1e-3 * sp.identity(mesh.n_vertices)).tocsr()
        shift, failed = cg(matrix, weighted @ shifts, rtol=1e-4, maxiter=500, M=sp.diags(1 / matrix.diagonal()))
        if failed:
            raise SurfaceError("fit to contours", found=f"no solution after {failed} steps", expected="1e-4")
        mesh = Mesh(mesh.vertices + mesh.vertex_normals * shift[:, None], mesh.faces)
    return mesh.vertices


def _cells(lines: NDArray[np.float64]) -> Cells:
    """Sort segments into the unit cells that their bounding boxes touch."""
    ends = np.zeros((len(lines), 2, 3))
    ends[:, :, :2] = lines.reshape(-1, 2, 2)
    return sort_into_cells(ends.min(axis=1), ends.max(axis=1), np.ones(len(lines), bool), 1.0)


def _observe(
    mesh: Mesh, heights: NDArray[np.float64], segments: Sequence[NDArray[np.float64]], cells: Sequence[Cells | None]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return corners (n, 3), barycentric shares (n, 3), shift along the normal (n,) voxels and weight (n,)."""
    normals = mesh.face_normals
    corner_heights = mesh.vertices[:, 2][mesh.faces]
    low, high = corner_heights.min(axis=1), corner_heights.max(axis=1)
    order = np.argsort(low, kind="stable")
    sorted_low = low[order]
    tallest = (high - low).max()
    extent = np.stack([mesh.vertices[:, :2].min(axis=0), mesh.vertices[:, :2].max(axis=0)])
    found = []
    for plane, lines, near in zip(heights, segments, cells, strict=True):
        if near is None:
            continue
        tilt = np.sort(plane[1:] * extent, axis=0).sum(axis=1)
        first, last = np.searchsorted(sorted_low, [plane[0] + tilt[0] - tallest, plane[0] + tilt[1]])
        found.append(_cut(mesh.vertices, mesh.faces, normals, order[first:last], plane, lines, *near))
    if not found:
        return np.empty((0, 3), np.int64), np.empty((0, 3)), np.empty(0), np.empty(0)
    corners, shares, shifts, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return corners, shares, shifts, weights


@kernel
def _cut(vertices, faces, normals, candidates, plane, lines, *cells):  # type: ignore[no-untyped-def]
    """Cut triangles with a plane and look for the contour that each cut belongs to."""
    n = len(candidates)
    corners, shares = np.empty((n, 3), np.int64), np.empty((n, 3))
    shifts, weights = np.empty(n), np.empty(n)
    n_found = 0
    above = np.empty(3)
    for f in candidates:
        for c in range(3):
            v = vertices[faces[f, c]]
            above[c] = v[2] - plane[0] - plane[1] * v[0] - plane[2] * v[1]
        n_up = (above[0] >= 0) + (above[1] >= 0) + (above[2] >= 0)
        if n_up in (0, 3):
            continue
        lone = 0
        for c in range(3):
            if (above[c] >= 0) == (n_up == 1):
                lone = c
        b, c = (lone + 1) % 3, (lone + 2) % 3
        s = above[lone] / (above[lone] - above[b])
        t = above[lone] / (above[lone] - above[c])
        p, q, r = vertices[faces[f, lone]], vertices[faces[f, b]], vertices[faces[f, c]]
        dx = s * (q[0] - p[0]) - t * (r[0] - p[0])
        dy = s * (q[1] - p[1]) - t * (r[1] - p[1])
        x = p[0] + 0.5 * (s * (q[0] - p[0]) + t * (r[0] - p[0]))
        y = p[1] + 0.5 * (s * (q[1] - p[1]) + t * (r[1] - p[1]))
        facing = np.sqrt(normals[f, 0] ** 2 + normals[f, 1] ** 2)
        if facing < 1e-6:
            continue
        gap = _gap(x, y, normals[f, 0] / facing, normals[f, 1] / facing, lines, *cells)
        if np.isnan(gap):
            continue
        corners[n_found, 0], corners[n_found, 1], corners[n_found, 2] = faces[f, lone], faces[f, b], faces[f, c]
        shares[n_found, 1], shares[n_found, 2] = 0.5 * s, 0.5 * t
        shares[n_found, 0] = 1 - 0.5 * s - 0.5 * t
        # a shift d along the normal moves the cut by d / facing
        shifts[n_found] = gap * facing
        weights[n_found] = np.sqrt(dx * dx + dy * dy) * facing
        n_found += 1
    return corners[:n_found], shares[:n_found], shifts[:n_found], weights[:n_found]


@kernel
def _gap(x, y, nx, ny, lines, origin, size, shape, starts, members):  # type: ignore[no-untyped-def]
    """Signed distance outwards from a point to the nearest contour that faces (nx, ny), NaN if none is in reach."""
    best, gap = REACH * REACH, np.nan
    x0, y0 = x - origin[0], y - origin[1]
    i0, i1 = max(int(np.floor((x0 - REACH) / size)), 0), min(int(np.floor((x0 + REACH) / size)), shape[0] - 1)
    j0, j1 = max(int(np.floor((y0 - REACH) / size)), 0), min(int(np.floor((y0 + REACH) / size)), shape[1] - 1)
    for i in range(i0, i1 + 1):
        for j in range(j0, j1 + 1):
            for m in range(starts[i * shape[1] + j], starts[i * shape[1] + j + 1]):
                s = members[m]
                ux, uy = lines[s, 2] - lines[s, 0], lines[s, 3] - lines[s, 1]
                length = np.sqrt(ux * ux + uy * uy)
                if length == 0.0 or uy * nx - ux * ny < LEAST_COSINE * length:
                    continue
                t = ((x - lines[s, 0]) * ux + (y - lines[s, 1]) * uy) / (length * length)
                t = min(max(t, 0.0), 1.0)
                ex, ey = lines[s, 0] + t * ux - x, lines[s, 1] + t * uy - y
                if ex * ex + ey * ey < best:
                    best = ex * ex + ey * ey
                    gap = (ex * uy - ey * ux) / length
    return gap
