"""Parcellations to compare with: geometry alone, Ward along mesh edges, k-means on features."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from cytomesh.core.random import derived_seed, generator
from cytomesh.parcellate.affinity import edge_list, symmetric
from cytomesh.parcellate.connect import join_fragments, pieces, split_regions
from cytomesh.parcellate.ward import ward_tree


def ward_parcels(values: NDArray[np.float64], adjacency: sp.csr_matrix, k: int, min_nodes: int) -> NDArray[np.int64]:
    """Ward's method along mesh edges; parcels below `min_nodes` are dissolved and others halved in their place."""
    labels = join_fragments(ward_tree(values, adjacency, stop_at=k).cut(k), adjacency, min_nodes)
    return split_regions(labels, values, adjacency, k, min_nodes)


def kmeans_clusters(values: NDArray[np.float64], k: int, seed: int) -> NDArray[np.int64]:
    """k-means on features alone; clusters fall into many pieces."""
    with threadpool_limits(1):
        model = KMeans(k, n_init=2, random_state=derived_seed(seed, "k-means") % 2**32)
        return np.asarray(model.fit_predict(values), np.int64)


def voronoi_parcels(
    positions: NDArray[np.float64], adjacency: sp.csr_matrix, k: int, seed: int, rounds: int = 4
) -> NDArray[np.int64]:
    """Geodesic Voronoi cells of about equal size: geometry alone.

    Seeds are drawn far apart (each the farthest node from those before it, the first at random); in each round every
    node goes to the nearest seed along mesh edges, and every seed moves to the node nearest to the mean of its cell
    (Lloyd's iteration on the mesh).

    Parameters
    ----------
    positions : (n, 3) float64
        mm.

    Returns
    -------
    (n,) int64
        Labels from 0, each connected.
    """
    i, j = edge_list(adjacency)
    lengths = symmetric(np.maximum(np.linalg.norm(positions[i] - positions[j], axis=1), 1e-6), i, j, len(positions))
    seeds = _far_apart(lengths, k, seed)
    labels = _cells(lengths, seeds)
    for _ in range(rounds):
        count = np.maximum(np.bincount(labels, minlength=k), 1)
        means = np.stack([np.bincount(labels, column, k) for column in positions.T], axis=1) / count[:, None]
        distance = np.linalg.norm(positions - means[labels], axis=1)
        order = np.lexsort((distance, labels))
        first = order[np.r_[True, labels[order][1:] != labels[order][:-1]]]
        seeds = seeds.copy()
        seeds[labels[first]] = first
        labels = _cells(lengths, seeds)
    return pieces(labels, adjacency)


def _far_apart(lengths: sp.csr_matrix, k: int, seed: int) -> NDArray[np.int64]:
    n_components, piece = connected_components(lengths, directed=False)
    random = generator(seed, "voronoi")
    first = int(random.integers(lengths.shape[0]))
    seeds = [first]
    distance = dijkstra(lengths, indices=first)
    while len(seeds) < k:
        # Other components are infinitely far: each gets a seed before any gets a second one.
        farthest = int(np.argmax(distance))
        seeds.append(farthest)
        distance = np.minimum(distance, dijkstra(lengths, indices=farthest, limit=_limit(distance)))
    if len(set(piece[seeds])) < n_components:
        raise ValueError("fewer cells than components")  # excluded by connect.check_count
    return np.array(seeds, np.int64)


def _limit(distance: NDArray[np.float64]) -> float:
    largest = float(distance.max())
    return largest if np.isfinite(largest) else np.inf


def _cells(lengths: sp.csr_matrix, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
    _, _, source = dijkstra(lengths, indices=seeds, min_only=True, return_predecessors=True)
    order = np.argsort(seeds)
    return np.asarray(order[np.searchsorted(seeds, source, sorter=order)], np.int64)
