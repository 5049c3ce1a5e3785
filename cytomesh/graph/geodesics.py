"""Distances along a surface, up to a radius: sparse, where a matrix of all pairs would take hundreds of gigabytes.

One front a vertex runs outwards over the triangles until the radius, as Dijkstra's algorithm does, but through the
inside of triangles: from the distances of an edge's two ends the source is laid out in the plane of the triangle, and
the distance of the third vertex is measured from there (Novotni & Klein, "Computing geodesic distances on triangular
meshes", WSCG 2002). On a plane this is exact; along edges alone, paths zigzag and are too long by up to 15 %.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import atomic_path
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import track
from cytomesh.graph.fronts import run_front, run_fronts
from cytomesh.surface.compiled import kernel
from cytomesh.surface.halfedge import twins
from cytomesh.surface.mesh import Mesh

# Sources of one call of the compiled code: short enough for a progress bar, long enough for its buffers.
BLOCK = 2048
ARRAYS = ("indptr", "indices", "distances")


@dataclass(frozen=True)
class LocalGeodesics:
    """Distances between the vertices of a surface that are no farther apart than a radius, as CSR arrays.

    Distances are symmetric, and 0 from a vertex to itself. Six bytes a pair: on the Colin27 template (342,042 vertices,
    0.6 mm2 each) and a radius of 9 mm, 0.9 GB instead of 234 GB.

    Parameters
    ----------
    indptr : (n_vertices + 1,) int64
        Where the pairs of each vertex begin; a vertex that is not among the wanted ones has none.
    indices : (n_pairs,) int32
        The other vertex, ascending for each vertex.
    distances : (n_pairs,) float16
        mm; rounded to 0.05 %.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    distances: NDArray[np.float16]

    @property
    def n_vertices(self) -> int:
        """Number of vertices of the surface."""
        return len(self.indptr) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.indptr.nbytes + self.indices.nbytes + self.distances.nbytes

    def between(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the distances of pairs of vertices, (n,) float32 mm; infinite beyond the radius."""
        result = np.empty(len(first), np.float32)
        _look_up(self.indptr, self.indices, self.distances.view(np.uint16), _HALF, first, second, result)
        return result


def local_geodesics(
    mesh: Mesh, radius_mm: float, vertices: NDArray[np.int64] | None = None, threads: int | None = None
) -> LocalGeodesics:
    """Return the distances along a surface between vertices up to a radius.

    Parameters
    ----------
    mesh : Mesh
        May have several pieces, such as both hemispheres: there are no distances between them.
    radius_mm : float
        Largest distance that is kept.
    vertices : (k,) int64, optional
        Distances are kept between these only; all vertices unless given.
    threads : int, optional
        All processors unless given; the result does not depend on it.
    """
    n = mesh.n_vertices
    is_wanted = np.ones(n, bool) if vertices is None else np.zeros(n, bool)
    if vertices is not None:
        is_wanted[vertices] = True
    sources = np.flatnonzero(is_wanted)
    edges = _half_edges(mesh)
    run = partial(_block, edges, is_wanted, radius_mm)
    blocks = [sources[start : start + BLOCK] for start in range(0, len(sources), BLOCK)]
    with ThreadPoolExecutor(threads or available_cpus()) as pool:
        done = pool.map(run, blocks)
        parts = list(track(done, "geodesics", total=len(blocks), unit="blocks"))
    counts = np.zeros(n, np.int64)
    counts[sources] = np.concatenate([part[0] for part in parts]) if parts else 0
    indices = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, np.int32)
    distances = np.concatenate([part[2] for part in parts]) if parts else np.empty(0, np.float16)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    # fronts kept the vertices of higher number only: half the memory, and the result is symmetric
    arrays = _symmetric(indptr, indices, distances.view(np.uint16))
    return LocalGeodesics(arrays[0], arrays[1], arrays[2].view(np.float16))


def geodesics_from(mesh: Mesh, source: int, radius_mm: float = math.inf) -> NDArray[np.float64]:
    """Return the distances along a surface from one vertex, (n,) float64 mm; infinite beyond the radius."""
    n, edges = mesh.n_vertices, _half_edges(mesh)
    distance, is_final, touched = np.full(n, np.inf), np.zeros(n, np.bool_), np.empty(n, np.int32)
    run_front(source, edges.indptr, edges.leaving, edges.mesh, radius_mm, distance, is_final, touched)
    return distance


def save_geodesics(folder: Path, geodesics: LocalGeodesics) -> None:
    """Write one `.npy` an array, whole or not at all."""
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        for name in ARRAYS:
            np.save(temporary / f"{name}.npy", getattr(geodesics, name), allow_pickle=False)


def load_geodesics(folder: Path) -> LocalGeodesics:
    """Read them memory-mapped (copy on write), so that all ranks of a machine share one copy."""
    return LocalGeodesics(*(np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in ARRAYS))


# every float16 as float32: compiled code on a CPU knows no half precision
_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


@dataclass(frozen=True)
class HalfEdges:
    """Directed edges of all triangles: half-edge 3 f + k runs from corner k of face f to the next one.

    Parameters
    ----------
    indptr, leaving : (n_vertices + 1,) int64, (3 m,) int32
        The half-edges that leave each vertex: `leaving[indptr[v]:indptr[v + 1]]`.
    start : (3 m,) int32
        The vertex that each leaves.
    twin : (3 m,) int32
        The same edge in the other triangle; -1 on a border.
    length : (3 m,) float32
        mm.
    """

    indptr: NDArray[np.int64]
    leaving: NDArray[np.int32]
    start: NDArray[np.int32]
    twin: NDArray[np.int32]
    length: NDArray[np.float32]

    @property
    def mesh(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """What `fronts` calls a mesh."""
        return self.start, self.twin, self.length


def _half_edges(mesh: Mesh) -> HalfEdges:
    start, end = mesh.half_edges.T
    n = mesh.n_vertices
    indptr = np.concatenate([[0], np.cumsum(np.bincount(start, minlength=n))]).astype(np.int64)
    length = np.linalg.norm(mesh.vertices[end] - mesh.vertices[start], axis=1).astype(np.float32)
    leaving = np.argsort(start, kind="stable").astype(np.int32)
    return HalfEdges(indptr, leaving, start.astype(np.int32), twins(mesh.faces).astype(np.int32), length)


def _block(
    edges: HalfEdges, is_wanted: NDArray[np.bool_], radius_mm: float, sources: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float16]]:
    """Run the fronts of some sources; keep the wanted vertices that are not below the source."""
    counts, indices, distances = run_fronts(sources, edges.indptr, edges.leaving, edges.mesh, is_wanted, radius_mm)
    return counts, indices, distances.astype(np.float16)


@kernel
def _symmetric(indptr, indices, values):  # type: ignore[no-untyped-def]
    """Return the whole of a CSR matrix of which the upper triangle with its diagonal is given, rows sorted."""
    n = len(indptr) - 1
    counts = np.zeros(n + 1, np.int64)
    for i in range(n):
        counts[i + 1] += indptr[i + 1] - indptr[i]
        for place in range(indptr[i], indptr[i + 1]):
            if indices[place] != i:
                counts[indices[place] + 1] += 1
    starts = np.cumsum(counts)
    end = starts[:-1].copy()
    whole, whole_values = np.empty(starts[-1], np.int32), np.empty(starts[-1], values.dtype)
    for i in range(n):  # rows before i have left their entries in row i, ascending
        for place in range(indptr[i], indptr[i + 1]):
            j, value = indices[place], values[place]
            whole[end[i]], whole_values[end[i]] = j, value
            end[i] += 1
            if j != i:
                whole[end[j]], whole_values[end[j]] = i, value
                end[j] += 1
    return starts, whole, whole_values


@kernel
def _look_up(indptr, indices, values, half, first, second, result):  # type: ignore[no-untyped-def]
    for pair in range(len(first)):
        i, j = first[pair], second[pair]
        low, high = indptr[i], indptr[i + 1]
        place = low + np.searchsorted(indices[low:high], j)
        result[pair] = half[values[place]] if place < high and indices[place] == j else np.inf
