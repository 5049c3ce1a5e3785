"""Smoother borders: nodes at a border go where their affinities pull them, and no parcel breaks."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.parcellate.affinity import edge_list


def smooth_borders(
    labels: NDArray[np.int64], weights: sp.csr_matrix, adjacency: sp.csr_matrix, rounds: int, min_nodes: int
) -> NDArray[np.int64]:
    """Move border nodes to the touching parcel with which they share the largest sum of affinities.

    Nodes are visited one after the other, those that gain most first, and are moved if they still gain, if their parcel
    keeps at least `min_nodes` nodes, and if the neighbours that they leave behind touch one another, so that it stays
    in one piece. Each move makes the sum of affinities across borders smaller.

    Parameters
    ----------
    labels : (n,) int64
        From 0, each connected.
    weights : (n, n) CSR
        Affinities, between mesh neighbours at least.
    adjacency : (n, n) CSR
        Mesh edges.
    rounds : int
        At most so often; ends earlier where nothing moves.

    Returns
    -------
    (n,) int64
        The same labels, each connected.
    """
    labels = labels.copy()
    sizes = np.bincount(labels)
    for _ in range(rounds):
        moved = False
        for node in _by_gain(labels, weights, adjacency):
            own = labels[node]
            best = _strongest(node, labels, weights, adjacency)
            if best != own and sizes[own] > min_nodes and _stays_whole(node, labels, adjacency):
                labels[node] = best
                sizes[own] -= 1
                sizes[best] += 1
                moved = True
        if not moved:
            break
    return labels


def _by_gain(labels: NDArray[np.int64], weights: sp.csr_matrix, adjacency: sp.csr_matrix) -> NDArray[np.int64]:
    """Return border nodes with more affinity to one other parcel than to their own, largest difference first."""
    i, j = edge_list(adjacency)
    crossing = labels[i] != labels[j]
    border = np.unique(np.concatenate([i[crossing], j[crossing]]))
    if not border.size:
        return border
    shape = len(labels), int(labels.max()) + 1
    member = sp.csr_matrix((np.ones(shape[0]), (np.arange(shape[0]), labels)), shape=shape)
    pull = sp.csr_matrix(weights[border] @ member)
    own = np.asarray(pull[np.arange(len(border)), labels[border]]).ravel()
    inside = sp.csr_matrix((own, (np.arange(len(border)), labels[border])), shape=pull.shape)
    gain = np.asarray((pull - inside).max(axis=1).todense()).ravel() - own
    order = np.argsort(-gain, kind="stable")
    return np.asarray(border[order[gain[order] > 0]], np.int64)


def _strongest(node: int, labels: NDArray[np.int64], weights: sp.csr_matrix, adjacency: sp.csr_matrix) -> int:
    """Return the parcel among those that touch a node to which it has most affinity; its own where none has more."""
    ends = slice(weights.indptr[node], weights.indptr[node + 1])
    pull = np.bincount(labels[weights.indices[ends]], weights.data[ends], int(labels.max()) + 1)
    touching = np.unique(labels[adjacency.indices[adjacency.indptr[node] : adjacency.indptr[node + 1]]])
    best = int(touching[np.argmax(pull[touching])])
    return best if pull[best] > pull[labels[node]] else int(labels[node])


def _stays_whole(node: int, labels: NDArray[np.int64], adjacency: sp.csr_matrix) -> bool:
    """Return whether the neighbours of a node in its own parcel are connected among themselves."""
    around = adjacency.indices[adjacency.indptr[node] : adjacency.indptr[node + 1]]
    own = {int(other) for other in around if labels[other] == labels[node]}
    if not own:
        return False
    reached = [own.pop()]
    for other in reached:  # grows while it is walked along
        found = own.intersection(adjacency.indices[adjacency.indptr[other] : adjacency.indptr[other + 1]].tolist())
        own -= found
        reached += found
    return not own
