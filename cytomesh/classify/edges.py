"""What attention may know of a mesh edge: its length, how the surface folds there, how much the inputs differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.classify.out_of_core import Inputs
from cytomesh.graph.neighbourhoods import Floats, Mask
from cytomesh.graph.storage import CortexGraph
from cytomesh.surface.halfedge import twins
from cytomesh.surface.mesh import Mesh, edge_lengths

EDGES_AT_ONCE = 32768
CLIP_SD = 5.0


def edge_attributes(
    graphs: Sequence[CortexGraph], inputs: Inputs, adjacency: sp.csr_matrix, names: Sequence[str]
) -> Floats | None:
    """Return attributes of all edges in both directions, standardised in each graph; None without names.

    Parameters
    ----------
    inputs : (n, d) float32
        Of all graphs' nodes.
    adjacency : (n, n) CSR
        Of all graphs, block by block.
    names : sequence of {"length", "dihedral", "features"}

    Returns
    -------
    (e, a) float32, in the order of the adjacency's entries; clipped at 5 SD.
    """
    if not names:
        return None
    out = np.empty((adjacency.nnz, len(names)), np.float32)
    start_node = 0
    for graph in graphs:
        nodes = slice(start_node, start_node + graph.n_nodes)
        entries = slice(adjacency.indptr[nodes.start], adjacency.indptr[nodes.stop])
        target = np.repeat(np.arange(nodes.start, nodes.stop), np.diff(adjacency.indptr[nodes.start : nodes.stop + 1]))
        source = adjacency.indices[entries].astype(np.int64)
        for column, name in enumerate(names):
            if name == "features":
                values = feature_distances(inputs, source, target)
            elif name == "length":
                values = edge_lengths(graph.mesh.vertices, graph.adjacency).data
            else:
                values = dihedral_angles(graph.mesh, source - nodes.start, target - nodes.start)
            sd = values.std() or 1.0
            out[entries, column] = np.clip((values - values.mean()) / sd, -CLIP_SD, CLIP_SD)
        start_node = nodes.stop
    return out


def dihedral_angles(mesh: Mesh, source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the angle between the normals of an edge's two faces, rad: positive on crowns, negative in fundi.

    With the normals m, n of the faces left and right of an edge along e: atan2((m x n) . e, m . n). The same in both
    directions of an edge; 0 at the rim of an open mesh.
    """
    twin = twins(mesh.faces)
    first, second = mesh.half_edges.T
    along = mesh.vertices[second] - mesh.vertices[first]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    m, o = np.repeat(mesh.face_normals, 3, axis=0), mesh.face_normals[twin // 3]
    angle = np.arctan2((np.cross(m, o) * along).sum(axis=1), (m * o).sum(axis=1))
    # of faces on top of each other the first counts; a rim has no angle
    codes, kept = np.unique(first * mesh.n_vertices + second, return_index=True)
    wanted = source * mesh.n_vertices + target
    place = np.searchsorted(codes, wanted).clip(max=codes.size - 1)
    half_edge = kept[place]
    return np.where((codes[place] == wanted) & (twin[half_edge] >= 0), angle[half_edge], 0.0)


def feature_distances(inputs: Inputs, source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the root mean square difference of the inputs at both ends of each edge."""
    found = []
    for start in range(0, len(source), EDGES_AT_ONCE):
        some = slice(start, start + EDGES_AT_ONCE)
        difference = inputs[source[some]].astype(np.float64) - inputs[target[some]]
        found.append(np.sqrt((difference**2).mean(axis=1)))
    return np.concatenate(found)


def kept_entries(adjacency: sp.csr_matrix, nodes: Mask | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of the adjacency's entries lie among some nodes, in the order that their own adjacency has them."""
    numbers = np.arange(adjacency.nnz, dtype=np.int64)
    numbered = sp.csr_matrix((numbers, adjacency.indices, adjacency.indptr), shape=adjacency.shape)
    return np.asarray(numbered[nodes][:, nodes].data)
