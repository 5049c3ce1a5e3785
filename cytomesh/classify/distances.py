"""Geodesic distances on the midsurface from nodes to areas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from cytomesh.surface.mesh import Mesh, edge_lengths


def distances_to_areas(
    mesh: Mesh, areas: NDArray[np.int64], nodes: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Length of the shortest way over mesh edges from each node to the area wanted of it.

    Parameters
    ----------
    areas : (n,) int64
        Area of each vertex of the mesh.
    nodes, wanted : (m,) int64
        Vertices, and the area to reach from each.

    Returns
    -------
    (m,) float64, mm; inf where the area is not on the same component. Ways over edges are longer than geodesics by a
    few per cent on regular meshes.
    """
    lengths = edge_lengths(mesh.vertices, mesh.adjacency())
    result = np.full(len(nodes), np.inf)
    for area in np.unique(wanted):
        sources = np.flatnonzero(areas == area)
        if sources.size:
            asked = wanted == area
            result[asked] = dijkstra(lengths, indices=sources, min_only=True)[nodes[asked]]
    return result
