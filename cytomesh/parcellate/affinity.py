"""The feature-weighted mesh graph."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import FeatureError
from cytomesh.parcellate.config import AffinityConfig


def affinity_graph(adjacency: sp.csr_matrix, values: NDArray[np.float64], settings: AffinityConfig) -> sp.csr_matrix:
    """Weigh the edges of a mesh by the similarity of the features at their ends.

    Parameters
    ----------
    adjacency : (m, m) CSR
        Mesh edges.
    values : (m, q) float64
        Node coordinates in feature space.

    Returns
    -------
    (m, m) CSR float64
        Symmetric, no diagonal, weights in [floor, 1].

    Raises
    ------
    FeatureError
        If `values` are not finite, or do not belong to the nodes of the graph.
    """
    if len(values) != adjacency.shape[0] or not np.isfinite(values).all():
        found = f"{len(values)} rows, finite: {bool(np.isfinite(values).all())}"
        raise FeatureError("affinity graph", found=found, expected=f"{adjacency.shape[0]} finite rows")
    i, j = edge_list(within_hops(adjacency, settings.hops))
    weights = WEIGHTS[settings.kind](values, i, j) ** settings.sharpness
    return symmetric(np.maximum(weights, settings.floor), i, j, len(values))


def edge_list(adjacency: sp.csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ends (i < j) of every edge once."""
    upper = sp.triu(adjacency, 1).tocoo()
    return upper.row.astype(np.int64), upper.col.astype(np.int64)


def symmetric(weights: NDArray[np.float64], i: NDArray[np.int64], j: NDArray[np.int64], n: int) -> sp.csr_matrix:
    """Return the symmetric (n, n) CSR matrix with `weights` at (i, j) and (j, i)."""
    ends = np.concatenate([i, j]), np.concatenate([j, i])
    return sp.csr_matrix((np.concatenate([weights, weights]), ends), shape=(n, n))


def within_hops(adjacency: sp.csr_matrix, hops: int) -> sp.csr_matrix:
    """Return the graph that joins nodes at most `hops` edges apart, ones off the diagonal."""
    step = sp.csr_matrix(adjacency + sp.identity(adjacency.shape[0], format="csr"))
    reach = step
    for _ in range(hops - 1):
        reach = sp.csr_matrix(reach @ step)
        reach.data[:] = 1.0
    reach.setdiag(0.0)
    reach.eliminate_zeros()
    return reach


def rbf_weights(values: NDArray[np.float64], i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
    """exp(-d_ij^2 / (s_i s_j)), s the root mean square distance to a node's own neighbours.

    Local scaling after Zelnik-Manor & Perona, Self-tuning spectral clustering, 2004, eq. 2 (there: distance to the
    seventh neighbour). Without it quiet cortex would be one block and busy cortex dust.
    """
    squared = np.einsum("eq,eq->e", values[i] - values[j], values[i] - values[j])
    n = len(values)
    total = np.bincount(i, squared, n) + np.bincount(j, squared, n)
    count = np.maximum(np.bincount(i, minlength=n) + np.bincount(j, minlength=n), 1)
    scale = np.sqrt(total / count)
    scale = np.maximum(scale, 1e-6 * scale.max(initial=1e-30))
    return np.asarray(np.exp(-squared / (scale[i] * scale[j])), np.float64)


def cosine_weights(values: NDArray[np.float64], i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
    """(1 + cosine) / 2; a zero vector is orthogonal to everything."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    cosine = np.einsum("eq,eq->e", unit[i], unit[j])
    return np.asarray(np.clip(0.5 * (1.0 + cosine), 0.0, 1.0), np.float64)


def correlation_weights(values: NDArray[np.float64], i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.float64]:
    """(1 + Pearson correlation of the two rows) / 2, as in profile covariance (Paquola 2019)."""
    return cosine_weights(values - values.mean(axis=1, keepdims=True), i, j)


WEIGHTS = {"rbf": rbf_weights, "cosine": cosine_weights, "correlation": correlation_weights}
