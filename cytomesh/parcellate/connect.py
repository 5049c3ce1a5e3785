"""Parcels in one piece, none too small, and exactly as many as wanted."""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.affinity import edge_list, symmetric
from cytomesh.parcellate.ward import ward_tree


def check_count(k: int, adjacency: sp.csr_matrix, source: str) -> None:
    """Raise GraphError unless k connected parcels can exist: at most one per node, at least one per component."""
    n = adjacency.shape[0]
    n_components = int(connected_components(adjacency, directed=False, return_labels=False))
    if not n_components <= k <= n:
        expected = f"between {n_components} (connected pieces of the masked mesh) and {n} (nodes)"
        hint = "change n_parcels, or raise min_nodes to leave small islands out"
        raise GraphError(source, "n_parcels", found=str(k), expected=expected, hint=hint)


def pieces(labels: NDArray[np.int64], adjacency: sp.csr_matrix) -> NDArray[np.int64]:
    """Return the connected pieces of all labels as labels of their own, (n,) int64 from 0."""
    i, j = edge_list(adjacency)
    same = labels[i] == labels[j]
    inside = symmetric(np.ones(int(same.sum())), i[same], j[same], len(labels))
    return np.asarray(connected_components(inside, directed=False)[1], np.int64)


def join_fragments(labels: NDArray[np.int64], weights: sp.csr_matrix, min_nodes: int) -> NDArray[np.int64]:
    """Keep the largest piece of every label; give every other one, and small ones, to the strongest neighbour.

    Pieces are dissolved smallest first, each into the piece with which it shares the largest sum of affinities, so
    that chains of fragments end in a parcel. A piece without a neighbour (a whole component) stays.

    Parameters
    ----------
    labels : (n,) int64
        From 0.
    weights : (n, n) CSR
        Affinities; also says which nodes touch.
    min_nodes : int
        Smallest parcel.

    Returns
    -------
    (n,) int64
        Consecutive labels from 0, each connected.
    """
    piece = pieces(labels, weights)
    sizes = np.bincount(piece)
    owner = np.zeros(len(sizes), np.int64)
    owner[piece] = labels
    is_main = np.zeros(len(sizes), bool)
    order = np.lexsort((np.arange(len(sizes)), -sizes, owner))
    is_main[order[np.r_[True, owner[order][1:] != owner[order][:-1]]]] = True

    borders = _border_affinities(piece, weights)
    target = np.arange(len(sizes))
    queue = [(int(sizes[p]), p) for p in range(len(sizes)) if not is_main[p] or sizes[p] < min_nodes]
    heapq.heapify(queue)
    while queue:
        size, p = heapq.heappop(queue)
        if target[p] != p or size != sizes[p]:
            continue
        if (is_main[p] and size >= min_nodes) or not borders[p]:
            continue
        into = max(borders[p], key=lambda other: (borders[p][other], -other))
        _absorb(borders, into, p)
        target[p] = into
        sizes[into] += sizes[p]
        if not is_main[into] or sizes[into] < min_nodes:
            heapq.heappush(queue, (int(sizes[into]), into))
    return _consecutive(_follow(target)[piece])


def merge_regions(
    labels: NDArray[np.int64], values: NDArray[np.float64], adjacency: sp.csr_matrix, k: int
) -> NDArray[np.int64]:
    """Merge touching regions, cheapest by Ward's criterion first (see `ward.ward_tree`), until k or none are left."""
    count = np.bincount(labels).astype(np.float64)
    return ward_tree(region_means(values, labels), region_weights(labels, adjacency), count, stop_at=k).cut(k)[labels]


def split_regions(
    labels: NDArray[np.int64], values: NDArray[np.float64], adjacency: sp.csr_matrix, k: int, min_nodes: int
) -> NDArray[np.int64]:
    """Halve the region with the largest sum of squares by Ward's method along its edges until there are k.

    No part is smaller than `min_nodes`; where nothing can be halved any more, fewer than k are returned.
    """
    labels = labels.copy()
    n_regions = int(labels.max()) + 1
    scatter = {region: _scatter(values[labels == region]) for region in range(n_regions)}
    while n_regions < k and scatter:
        region = max(scatter, key=lambda r: (scatter[r], -r))
        nodes = np.flatnonzero(labels == region)
        halves = _halves(values[nodes], adjacency[nodes][:, nodes], min_nodes)
        if halves.max() == 0:
            del scatter[region]
            continue
        labels[nodes[halves == 1]] = n_regions
        for part in (region, n_regions):
            scatter[part] = _scatter(values[labels == part])
        n_regions += 1
    return labels


def _halves(values: NDArray[np.float64], adjacency: sp.csr_matrix, min_nodes: int) -> NDArray[np.int64]:
    """Cut a region in two, neither part below `min_nodes`; zeros where Ward's tree has no such cut."""
    n = len(values)
    tree = ward_tree(values, adjacency)
    for n_parts in (2, 4, 8, 16, 32):
        if n < max(n_parts, 2 * min_nodes):
            break
        # Ward likes to cut off a few odd nodes: cut finer, dissolve what is too small, and merge again.
        parts = join_fragments(tree.cut(n_parts), adjacency, min_nodes)
        if parts.max() > 0:
            return merge_regions(parts, values, adjacency, 2)
    return np.zeros(n, np.int64)


def _scatter(values: NDArray[np.float64]) -> float:
    return float(np.sum((values - values.mean(axis=0)) ** 2))


def region_means(values: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (k, q) mean rows of k regions, labelled from 0, none empty."""
    return np.stack([np.bincount(labels, column) for column in values.T], axis=1) / np.bincount(labels)[:, None]


def region_weights(labels: NDArray[np.int64], weights: sp.csr_matrix) -> sp.csr_matrix:
    """Return the (k, k) CSR sums of weights along the borders of k regions."""
    k = int(labels.max()) + 1
    member = sp.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(k, len(labels)))
    table = sp.csr_matrix(member @ weights @ member.T)
    table.setdiag(0.0)
    table.eliminate_zeros()
    return table


def _border_affinities(labels: NDArray[np.int64], weights: sp.csr_matrix) -> list[dict[int, float]]:
    table = region_weights(labels, weights)
    rows = np.split(np.arange(table.nnz), table.indptr[1:-1])
    return [dict(zip(table.indices[row].tolist(), table.data[row].tolist(), strict=True)) for row in rows]


def _absorb(borders: list[dict[int, float]], into: int, gone: int) -> None:
    for other, weight in borders[gone].items():
        del borders[other][gone]
        if other != into:
            borders[into][other] = borders[into].get(other, 0.0) + weight
            borders[other][into] = borders[into][other]
    borders[gone] = {}


def _follow(target: NDArray[np.int64]) -> NDArray[np.int64]:
    while not np.array_equal(target, target[target]):
        target = target[target]
    return target


def _consecutive(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
