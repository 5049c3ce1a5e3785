"""Types of cortex wherever they occur, and their connected pieces as parcels.

Clusterings along mesh edges (normalised cut, Ward) pay for every border, and find compact tiles whose agreement with
areas is mostly what any tiling has. Types are found without regard to place; place comes in afterwards.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from cytomesh.core.random import derived_seed
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import AffinityConfig, TypesConfig
from cytomesh.parcellate.connect import join_fragments, merge_regions, pieces, split_regions
from cytomesh.parcellate.features import hop_mean


def type_labels(
    values: NDArray[np.float64], adjacency: sp.csr_matrix, settings: TypesConfig, seed: int
) -> NDArray[np.int64]:
    """Cluster nodes into types by k-means, then let each node take the commonest type around it.

    Parameters
    ----------
    values : (m, q) float64
        Coordinates in which Euclidean distance means dissimilarity (`features.autocorrelation_factors`).

    Returns
    -------
    (m,) int64
        Types from 0; a type may lie in many places.
    """
    n_types = min(settings.n_types, len(values))
    with threadpool_limits(1):
        state = derived_seed(seed, "types") % 2**32
        model = KMeans(n_types, n_init=settings.restarts, random_state=state).fit(values)
    labels = model.labels_.astype(np.int64)
    for _ in range(settings.smoothing_rounds):
        votes = hop_mean(adjacency, np.eye(n_types)[labels], settings.smoothing_hops)
        smoothed = np.argmax(votes, axis=1).astype(np.int64)
        if np.array_equal(smoothed, labels):
            break
        labels = smoothed
    return labels


def type_parcels(
    values: NDArray[np.float64],
    adjacency: sp.csr_matrix,
    k: int,
    min_nodes: int,
    settings: TypesConfig,
    affinity: AffinityConfig,
    seed: int,
) -> NDArray[np.int64]:
    """Parcellate into k connected pieces of types; too many pieces are merged, too few split, by Ward's criterion.

    Returns
    -------
    (m,) int64
        Labels from 0.
    """
    regions = pieces(type_labels(values, adjacency, settings, seed), adjacency)
    regions = join_fragments(regions, affinity_graph(adjacency, values, affinity), min_nodes)
    regions = merge_regions(regions, values, adjacency, k)
    return split_regions(regions, values, adjacency, k, min_nodes)
