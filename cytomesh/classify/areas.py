"""How areas lie to each other: which border on which, hops between them, and ways to them along the cortex."""

from __future__ import annotations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from cytomesh.classify.nodes import NodeData
from cytomesh.graph.neighbourhoods import nearest_source
from cytomesh.surface.mesh import Mesh, edge_lengths

GAP_HOPS = 4
"""Labels grow this far over unlabelled nodes: annotated sections lie apart."""


def area_adjacency(data: NodeData) -> nx.Graph:
    """Return the graph whose nodes are classes and whose edges join areas that touch on the mesh.

    Each unlabelled node within `GAP_HOPS` edges of a training node takes the class of the nearest one; then areas
    that share a mesh edge are neighbours (attribute `n_edges`). No test label is read.
    """
    sources = np.flatnonzero(data.is_train)
    nearest = nearest_source(data.adjacency, sources, GAP_HOPS)
    grown = np.where(nearest >= 0, data.targets[sources[nearest]], -1)
    edges = data.adjacency.tocoo()
    a, b = grown[edges.row], grown[edges.col]
    is_border = (a >= 0) & (b >= 0) & (a < b)
    pairs, counts = np.unique(np.stack([a[is_border], b[is_border]]), axis=1, return_counts=True)
    graph = nx.Graph()
    graph.add_nodes_from(range(data.classes.size))
    graph.add_edges_from((int(i), int(j), {"n_edges": int(n)}) for (i, j), n in zip(pairs.T, counts, strict=True))
    return graph


def hop_distances(graph: nx.Graph) -> NDArray[np.float64]:
    """Shortest paths between all areas, (k, k), inf where there is none."""
    k = graph.number_of_nodes()
    hops = np.full((k, k), np.inf)
    for i, lengths in nx.all_pairs_shortest_path_length(graph):
        for j, length in lengths.items():
            hops[i, j] = length
    return hops


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
