"""Triangle meshes: vertices in mm, vertex order is identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import trimesh
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import SurfaceError


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh; nothing here ever merges, drops or reorders a vertex.

    Parameters
    ----------
    vertices : (n, 3) float64
        Positions, mm.
    faces : (m, 3) int64
        Vertex indices, counter-clockwise seen from outside.

    Examples
    --------
    >>> import trimesh
    >>> box = trimesh.creation.box()  # of 1 mm
    >>> mesh = Mesh(box.vertices, box.faces)
    >>> mesh.n_vertices, mesh.euler_number, float(mesh.vertex_areas.sum())
    (8, 2, 6.0)
    >>> mesh.adjacency().shape
    (8, 8)
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]

    def __post_init__(self) -> None:
        faces = np.asarray(self.faces)
        if faces.dtype.kind not in "iu" and not np.array_equal(faces, np.rint(faces)):  # NaN, too
            raise SurfaceError("mesh", "faces", found="numbers of vertices that are not whole", expected="integers")
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, np.float64))
        object.__setattr__(self, "faces", np.ascontiguousarray(faces, np.int64))
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3 or self.faces.ndim != 2 or self.faces.shape[1] != 3:
            shapes = f"vertices {self.vertices.shape}, faces {self.faces.shape}"
            raise SurfaceError("mesh", found=shapes, expected="(n, 3) and (m, 3)")
        if not np.isfinite(self.vertices).all():
            bad = int(np.flatnonzero(~np.isfinite(self.vertices).all(axis=1))[0])
            raise SurfaceError("mesh", f"vertex {bad}", found="NaN or infinite coordinates", expected="finite mm")
        if self.faces.size and (self.faces.min() < 0 or self.faces.max() >= len(self.vertices)):
            found = f"vertex index {int(self.faces.max())}"
            raise SurfaceError("mesh", "faces", found=found, expected=f"0..{len(self.vertices) - 1}")

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return len(self.vertices)

    @property
    def n_faces(self) -> int:
        """Number of triangles."""
        return len(self.faces)

    @property
    def half_edges(self) -> NDArray[np.int64]:
        """Start and end of each side of each face, (3 m, 2) int64: 3 f + c runs from corner c of face f to the next."""
        return self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Unique undirected edges, (e, 2) int64, smaller index first, sorted."""
        codes = self._edge_codes()
        is_first = np.diff(codes, prepend=-1) > 0
        return np.stack(np.divmod(codes[is_first], self.n_vertices), axis=1)

    @property
    def euler_number(self) -> int:
        """V - E + F over the vertices that faces use; 2 for a sphere."""
        return len(np.unique(self.faces)) - len(self.edges) + self.n_faces

    @property
    def border(self) -> NDArray[np.int64]:
        """Edges of one face only, (b, 2) int64, smaller index first; none if the mesh is closed."""
        codes, counts = np.unique(self._edge_codes(), return_counts=True)
        return np.stack(np.divmod(codes[counts == 1], self.n_vertices), axis=1)

    def _edge_codes(self) -> NDArray[np.int64]:
        """Return the sides of all faces as smaller index * n + larger one, (3 m,) int64, sorted."""
        pairs = np.sort(self.half_edges, axis=1)
        return np.sort(pairs[:, 0] * self.n_vertices + pairs[:, 1])

    @property
    def is_closed(self) -> bool:
        """Whether every edge belongs to exactly two faces that run through it in opposite directions."""
        start, end = self.half_edges.T
        codes, reverse = start * self.n_vertices + end, end * self.n_vertices + start
        codes.sort()
        reverse.sort()
        return bool((np.diff(codes) > 0).all()) and bool(np.array_equal(codes, reverse))

    def adjacency(self) -> sp.csr_matrix:
        """Vertex adjacency, (n, n) CSR of ones, symmetric, no diagonal."""
        i, j = self.edges.T
        ones = np.ones(2 * len(i), np.float32)
        shape = (self.n_vertices, self.n_vertices)
        return sp.csr_matrix((ones, (np.concatenate([i, j]), np.concatenate([j, i]))), shape=shape)

    @property
    def n_components(self) -> int:
        """Number of connected pieces, unused vertices left out."""
        _, labels = connected_components(self.adjacency(), directed=False)
        return len(np.unique(labels[np.unique(self.faces)]))

    @cached_property
    def _face_vectors(self) -> NDArray[np.float64]:
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    @property
    def face_areas(self) -> NDArray[np.float64]:
        """Area of each face, (m,) mm2."""
        return 0.5 * np.linalg.norm(self._face_vectors, axis=1)

    @property
    def face_normals(self) -> NDArray[np.float64]:
        """Outward unit normal of each face, (m, 3); zero for degenerate faces."""
        return unit(self._face_vectors)

    @property
    def vertex_areas(self) -> NDArray[np.float64]:
        """One third of the area of the faces around each vertex, (n,) mm2."""
        weights = np.repeat(self.face_areas / 3.0, 3)
        return np.bincount(self.faces.ravel(), weights, minlength=self.n_vertices).astype(np.float64)

    @property
    def vertex_normals(self) -> NDArray[np.float64]:
        """Outward unit normal of each vertex, mean of its faces weighted by area, (n, 3)."""
        total = np.zeros_like(self.vertices)
        for corner in range(3):
            for axis in range(3):
                total[:, axis] += np.bincount(
                    self.faces[:, corner], self._face_vectors[:, axis], minlength=self.n_vertices
                )
        return unit(total)

    @property
    def area_mm2(self) -> float:
        """Total surface area, mm2."""
        return float(self.face_areas.sum())

    @property
    def volume_mm3(self) -> float:
        """Volume by the divergence theorem, mm3, positive if faces are outward; holes are closed towards the centre."""
        away = self.vertices[self.faces[:, 0]] - self.vertices.mean(axis=0)
        return float(np.einsum("ij,ij->", away, self._face_vectors) / 6.0)

    @property
    def openness(self) -> float:
        """Area of what is missing, seen from where it is largest, as share of the surface's; 0 if it is closed."""
        return float(np.linalg.norm(self._face_vectors.sum(axis=0)) / max(2 * self.area_mm2, 1e-12))

    def to_trimesh(self) -> trimesh.Trimesh:
        """Return a trimesh with the same vertices in the same order."""
        return trimesh.Trimesh(self.vertices, self.faces, process=False, validate=False)


def edge_lengths(positions: NDArray[np.float64], adjacency: sp.csr_matrix) -> sp.csr_matrix:
    """Return the lengths of a graph's edges, symmetric (n, n) CSR float64, mm.

    Parameters
    ----------
    positions : (n, 3) float64
        mm.
    adjacency : (n, n) CSR
        Symmetric; of a mesh, or of some of its vertices.
    """
    upper = sp.triu(adjacency, 1).tocoo()
    # coinciding nodes would otherwise be unconnected: SciPy takes a zero for no edge
    lengths = np.maximum(np.linalg.norm(positions[upper.row] - positions[upper.col], axis=1), 1e-6)
    half = sp.csr_matrix((lengths, (upper.row, upper.col)), shape=adjacency.shape)
    return sp.csr_matrix(half + half.T)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3) vectors of length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def cotangents(mesh: Mesh) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield, corner by corner of the faces, the ends of the opposite side and the cotangent of the corner's angle.

    Each (m,), one per face.
    """
    for corner in range(3):
        apex, i, j = (mesh.faces[:, (corner + k) % 3] for k in range(3))
        to_i, to_j = mesh.vertices[i] - mesh.vertices[apex], mesh.vertices[j] - mesh.vertices[apex]
        double_area = np.linalg.norm(np.cross(to_i, to_j), axis=1)
        yield i, j, np.einsum("mx,mx->m", to_i, to_j) / np.maximum(double_area, 1e-12)


def mean_curvature(mesh: Mesh) -> NDArray[np.float64]:
    """Return the mean curvature of each vertex, (n,) 1/mm; positive where the surface bulges outward.

    Cotangent formula: 2 H n = sum_j (cot alpha_ij + cot beta_ij) (x_i - x_j) / (2 A_i) (Meyer et al., Discrete
    differential-geometry operators, 2003, eq. 8), with a third of the surrounding face area as A_i. A sphere of
    radius r has 1 / r. Isolated and degenerate vertices get 0.
    """
    n = mesh.n_vertices
    total = np.zeros((n, 3))
    for i, j, cotangent in cotangents(mesh):
        pull = cotangent[:, None] * (mesh.vertices[i] - mesh.vertices[j])
        for axis in range(3):
            total[:, axis] += np.bincount(i, pull[:, axis], n) - np.bincount(j, pull[:, axis], n)
    areas = mesh.vertex_areas
    laplacian = np.divide(total, 2.0 * areas[:, None], out=np.zeros_like(total), where=areas[:, None] > 1e-12)
    return np.asarray(0.5 * np.einsum("nx,nx->n", laplacian, mesh.vertex_normals), np.float64)
