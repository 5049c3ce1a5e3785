"""The cortex that all phantom brains are made from: fsaverage5, refined, with separated banks.

The surfaces are the ones that nilearn packages (fsaverage5, Fischl 1999), so nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cytomesh.phantom.repair import separate_banks, thicken
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.mesh import Mesh

MEDIAL_WALL_MM = 1.0  # fsaverage's pial and white surfaces coincide on the medial wall


@dataclass(frozen=True)
class PhantomCortex:
    """One hemisphere: pial and white with the same faces, and the same vertices on a sphere.

    Parameters
    ----------
    pial, white : (n, 3) float64
        Vertex positions, mm.
    faces : (m, 3) int64
        Faces of all three surfaces, outward.
    sphere : (n, 3) float64
        Unit vectors: where each vertex lies on the spherical form of the surface.
    is_medial_wall : (n,) bool
        Vertices that are not cortex.
    """

    pial: NDArray[np.float64]
    white: NDArray[np.float64]
    faces: NDArray[np.int64]
    sphere: NDArray[np.float64]
    is_medial_wall: NDArray[np.bool_]

    @property
    def midsurface(self) -> NDArray[np.float64]:
        """Halfway between white and pial, (n, 3) mm."""
        return 0.5 * (self.pial + self.white)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Unique undirected edges, (e, 2) int64."""
        return Mesh(self.pial, self.faces).edges

    def lengths(self) -> sp.csr_matrix:
        """Lengths of the midsurface's edges, symmetric (n, n) CSR, mm."""
        i, j = self.edges.T
        d = np.linalg.norm(self.midsurface[i] - self.midsurface[j], axis=1)
        n = len(self.pial)
        return sp.csr_matrix((np.tile(d, 2), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))


@cache
def template(hemisphere: str) -> PhantomCortex:
    """Return fsaverage5, subdivided once (40,962 vertices), at least 1.2 mm thick and with open sulci.

    Loop subdivision and three smoothing steps make section contours smooth. The cortex is thickened where pial
    and white meet (on the medial wall), and banks that touch across a sulcus or within a gyral blade are moved
    apart, so that the truth has no fused banks.
    """
    packaged = fsaverage5(hemisphere)
    faces = packaged["pial"].faces
    pial, white, sphere = (packaged[kind].vertices for kind in ("pial", "white", "sphere"))
    is_thin = np.linalg.norm(pial - white, axis=1) < MEDIAL_WALL_MM
    refine, fine = subdivision(faces, len(pial))
    smooth = smoothing(fine, refine.shape[0])
    pial, white, sphere = refine @ pial, refine @ white, refine @ sphere
    for _ in range(3):
        pial, white = 0.5 * (pial + smooth @ pial), 0.5 * (white + smooth @ white)
    pial, white = thicken(pial, white, fine, smooth)
    pial, white = separate_banks(pial, white, fine, smooth)
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    return PhantomCortex(pial, white, fine, sphere, largest_patch(fine, refine @ is_thin > 0.5))


def subdivision(faces: NDArray[np.int64], n: int) -> tuple[sp.csr_matrix, NDArray[np.int64]]:
    """Return one step of Loop subdivision of a closed mesh with `n` vertices: (matrix, faces).

    The matrix (n + edges, n) maps old to new vertices; the first `n` new vertices are the old ones, moved.
    C. Loop, Smooth subdivision surfaces based on triangles, University of Utah, 1987.
    """
    directed = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, index = np.unique(directed, axis=0, return_inverse=True)
    index = index.reshape(3, -1)
    opposite = np.concatenate([faces[:, 2], faces[:, 0], faces[:, 1]])
    number = np.arange(len(edges))
    weights = np.concatenate([np.full(2 * len(edges), 3 / 8), np.full(len(opposite), 1 / 8)])
    rows = np.concatenate([number, number, index.ravel()])
    columns = np.concatenate([edges[:, 0], edges[:, 1], opposite])
    odd = sp.csr_matrix((weights, (rows, columns)), shape=(len(edges), n))
    ends = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sp.csr_matrix((np.ones(len(ends)), ends.T), shape=(n, n))
    valence = np.asarray(adjacency.sum(axis=1)).ravel()
    beta = (5 / 8 - (3 / 8 + np.cos(2 * np.pi / valence) / 4) ** 2) / valence
    even = sp.diags(1 - valence * beta) + sp.diags(beta) @ adjacency
    (a, b, c), (ab, bc, ca) = faces.T, n + index
    corners = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
    fine = np.concatenate([np.stack(corner, axis=1) for corner in corners])
    return sp.vstack([even, odd]).tocsr(), fine.astype(np.int64)


def smoothing(faces: NDArray[np.int64], n: int) -> sp.csr_matrix:
    """Return the (n, n) operator that replaces each vertex by the mean of itself and its neighbours."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([directed, np.stack([np.arange(n)] * 2, axis=1)])
    # on a closed, oriented mesh each directed edge occurs once
    matrix = sp.csr_matrix((np.ones(len(ends)), ends.T), shape=(n, n))
    return (sp.diags(1.0 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix).tocsr()


def largest_patch(faces: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part of some vertices, (n,) bool."""
    n = len(mask)
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    inside = directed[mask[directed].all(axis=1)]
    graph = sp.csr_matrix((np.ones(len(inside)), inside.T), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    sizes = np.bincount(component[mask], minlength=1)
    return np.asarray(mask & (component == int(np.argmax(sizes))))
