"""From eigenvectors to labels: cluster_qr and k-means on the rows, refined, best by normalised cut."""

from __future__ import annotations

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from cytomesh.core.random import derived_seed
from cytomesh.parcellate.refine import inside_and_volume, refine_cut

# Rows that pivoted QR looks at, at least.
PIVOT_ROWS = 20_000
# k-means from random centres costs more than it brings on large meshes.
RESTART_NODES = 5_000
MAX_ITERATIONS = 12


def spectral_labels(
    vectors: NDArray[np.float64], weights: sp.csr_matrix, restarts: int, seed: int
) -> tuple[NDArray[np.int64], float]:
    """Cluster the rows of k eigenvectors into k groups.

    Parameters
    ----------
    vectors : (n, k) float64
        Orthonormal columns.
    weights : (n, n) CSR
        The graph they belong to.
    restarts : int
        Of k-means, which competes with cluster_qr; 0: cluster_qr alone.

    Returns
    -------
    labels : (n,) int64
        0..k-1; of the clusterings, each refined by `refine_cut`, the one with the smallest normalised cut.
    cut : float
        Its normalised cut.
    """
    k = vectors.shape[1]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    # More threads than nodes deserve cost more than they bring, and change the order of the sums.
    with threadpool_limits(1):
        candidates = [cluster_qr(rows)]
        if restarts:
            centres = np.stack([_mean_direction(rows, candidates[0] == label) for label in range(k)])
            from_qr = KMeans(k, init=centres, n_init=1, max_iter=MAX_ITERATIONS).fit(rows)
            candidates.append(from_qr.labels_.astype(np.int64))
        if restarts and len(rows) <= RESTART_NODES:
            random = KMeans(k, n_init=restarts, max_iter=100, random_state=derived_seed(seed, "rounding") % 2**32)
            candidates.append(random.fit(rows).labels_.astype(np.int64))
    candidates = [refine_cut(labels, weights) for labels in candidates]
    cuts = [normalised_cut(weights, labels) for labels in candidates]
    best = int(np.argmin(cuts))
    return candidates[best], cuts[best]


def cluster_qr(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Assign each of n rows in R^k to one of k nearly orthogonal directions found by pivoted QR.

    Damle, Minden & Ying, Simple, direct and efficient multi-way spectral clustering, 2019, algorithm 1.
    No start values, no iterations.
    """
    k = rows.shape[1]
    # A sample spans the same directions; pivoted QR of all rows of a large mesh would be slow.
    sample = rows[:: max(1, len(rows) // PIVOT_ROWS)]
    _, _, pivots = sl.qr(sample.T, mode="economic", pivoting=True)
    left, _, right = sl.svd(sample[pivots[:k]].T)
    return np.asarray(np.argmax(np.abs(rows @ (left @ right)), axis=1), np.int64)


def normalised_cut(weights: sp.csr_matrix, labels: NDArray[np.int64]) -> float:
    """Sum over clusters of cut(A, rest) / volume(A) (Shi & Malik, Normalized cuts, 2000); empty ones count 1 each."""
    inside, volume = inside_and_volume(weights, labels)
    return float(np.sum(1.0 - np.divide(inside, volume, out=np.zeros_like(inside), where=volume > 0)))


def _mean_direction(rows: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(rows[members].mean(axis=0) if members.any() else np.zeros(rows.shape[1]), np.float64)
