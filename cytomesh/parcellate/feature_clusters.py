"""Types of cortex wherever they occur, and their connected pieces as parcels.

Clusterings along mesh edges (normalised cut, Ward) pay for every border, and find compact tiles whose agreement with
areas is mostly what any tiling has. Types are found without regard to place; place comes in afterwards.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from cytomesh.core.random import derived_seed
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import AffinityConfig, FeatureClustersConfig
from cytomesh.parcellate.connect import join_fragments, merge_regions, pieces, split_regions

WITHIN_SHRINKAGE = 1e-3
PARCELS_PER_TYPE = 3


def cluster_labels(
    values: NDArray[np.float64], adjacency: sp.csr_matrix, n_types: int, settings: FeatureClustersConfig, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cluster nodes into types by k-means, then let each node take the commonest type around it.

    With more than one round, coordinates are whitened by the scatter within the types just found and clustered again:
    k-means in the metric of a discriminant analysis (Ding & Li, Adaptive dimension reduction using discriminant
    analysis and k-means clustering, 2007).

    Parameters
    ----------
    values : (m, q) float64
        Coordinates in which Euclidean distance means dissimilarity (`features.autocorrelation_factors`).

    Returns
    -------
    labels : (m,) int64
        Types from 0; a type may lie in many places.
    values : (m, q) float64
        The coordinates of the last round.
    """
    n_types = min(n_types, len(values))
    labels = np.zeros(len(values), np.int64)
    for number in range(settings.rounds):
        if number:
            values = within_whitened(values, labels)
        with threadpool_limits(1):
            state = derived_seed(seed, "types") % 2**32
            labels = KMeans(n_types, n_init=settings.restarts, random_state=state).fit_predict(values).astype(np.int64)
        for _ in range(settings.smoothing_rounds):
            votes = hop_mean(adjacency, np.eye(n_types)[labels], settings.smoothing_hops)
            smoothed = np.argmax(votes, axis=1).astype(np.int64)
            if np.array_equal(smoothed, labels):
                break
            labels = smoothed
    return labels, values


def within_whitened(values: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scale and shear coordinates so that their pooled covariance within labels is the identity."""
    count = np.maximum(np.bincount(labels), 1)
    means = np.stack([np.bincount(labels, column) for column in values.T], axis=1) / count[:, None]
    scatter = np.atleast_2d(np.cov(values - means[labels], rowvar=False))
    scatter += WITHIN_SHRINKAGE * max(np.trace(scatter) / len(scatter), 1e-30) * np.eye(len(scatter))
    return np.asarray(sl.solve_triangular(np.linalg.cholesky(scatter), values.T, lower=True).T, np.float64)


def cluster_parcels(
    values: NDArray[np.float64],
    adjacency: sp.csr_matrix,
    k: int,
    min_nodes: int,
    settings: FeatureClustersConfig,
    affinity: AffinityConfig,
    seed: int,
) -> NDArray[np.int64]:
    """Parcellate into k connected pieces of types; too many pieces are merged, too few split, by Ward's criterion.

    Returns
    -------
    (m,) int64
        Labels from 0.
    """
    n_types = settings.n_types or max(2, round(k / PARCELS_PER_TYPE))
    types, values = cluster_labels(values, adjacency, n_types, settings, seed)
    regions = join_fragments(pieces(types, adjacency), affinity_graph(adjacency, values, affinity), min_nodes)
    regions = merge_regions(regions, values, adjacency, k)
    return split_regions(regions, values, adjacency, k, min_nodes)
