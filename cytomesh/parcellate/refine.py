"""A smaller normalised cut by moving nodes one by one."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel

MAX_SWEEPS = 100
# Moves must gain more than rounding: otherwise two nodes could change places for ever.
LEAST_GAIN = 1e-12


def inside_and_volume(
    weights: sp.csr_matrix, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the weights within each cluster, both ways, and of all weights at its nodes, (k,) each."""
    k = int(labels.max()) + 1
    member = sp.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(k, len(labels)))
    return (member @ weights @ member.T).diagonal(), member @ np.asarray(weights.sum(axis=1)).ravel()


def refine_cut(labels: NDArray[np.int64], weights: sp.csr_matrix) -> NDArray[np.int64]:
    """Move nodes to neighbouring clusters as long as the normalised cut becomes smaller.

    Rounding eigenvectors is a relaxation of the cut, and its borders are rough. Each node in turn goes to the cluster
    among its neighbours' for which sum_a inside_a / volume_a, k less the normalised cut, grows most: the local search
    of Dhillon, Guan & Kulis, Weighted graph cuts without eigenvectors, 2007, section 4.3, with moves of single nodes.
    A sweep costs as much as one look at every edge; the last node of a cluster stays.

    Parameters
    ----------
    labels : (n,) int64
        0..k-1.
    weights : (n, n) CSR float64
        Symmetric, >= 0, no diagonal.

    Returns
    -------
    (n,) int64
    """
    inside, volume = inside_and_volume(weights, labels)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    result, sizes = labels.copy(), np.bincount(labels)
    most = int(np.diff(weights.indptr).max(initial=0))
    arrays = weights.indptr.astype(np.int64), weights.indices.astype(np.int64), weights.data
    for _ in range(MAX_SWEEPS):
        if not _sweep(*arrays, degree, result, inside, volume, sizes, np.empty(most, np.int64)):
            break
    return result


@kernel
def _sweep(starts, columns, weights, degree, labels, inside, volume, sizes, near):  # type: ignore[no-untyped-def]
    """Visit all nodes once; returns how many moved. `near` is room for the clusters around a node."""
    n_moved = 0
    pull = np.zeros(len(volume))  # weight between the node and each cluster
    for node in range(len(labels)):
        n_near = 0
        for entry in range(starts[node], starts[node + 1]):
            cluster = labels[columns[entry]]
            if pull[cluster] == 0.0:
                near[n_near] = cluster
                n_near += 1
            pull[cluster] += weights[entry]
        own, weight = labels[node], degree[node]
        if sizes[own] > 1 and volume[own] > weight > 0.0:
            lost = (inside[own] - 2.0 * pull[own]) / (volume[own] - weight) - inside[own] / volume[own]
            best, most = own, LEAST_GAIN
            for position in range(n_near):
                cluster = near[position]
                if cluster != own:
                    after = (inside[cluster] + 2.0 * pull[cluster]) / (volume[cluster] + weight)
                    gain = lost + after - inside[cluster] / volume[cluster]
                    if gain > most:
                        best, most = cluster, gain
            if best != own:
                inside[own] -= 2.0 * pull[own]
                inside[best] += 2.0 * pull[best]
                volume[own] -= weight
                volume[best] += weight
                sizes[own] -= 1
                sizes[best] += 1
                labels[node] = best
                n_moved += 1
        for position in range(n_near):
            pull[near[position]] = 0.0
    return n_moved
