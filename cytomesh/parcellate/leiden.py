"""Leiden communities of the affinity graph as a baseline; needs `pip install cytomesh[leiden]`."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.extras import optional
from cytomesh.core.random import derived_seed
from cytomesh.parcellate.affinity import edge_list

# Bisections of the resolution: the number of communities jumps, so that k is met only nearly.
MAX_TRIALS = 12
LOWEST, HIGHEST = 1e-6, 1e2


def leiden_communities(weights: sp.csr_matrix, k: int, seed: int) -> NDArray[np.int64]:
    """Cluster a graph by modularity at the resolution that gives about k communities.

    Traag, Waltman & van Eck, From Louvain to Leiden, 2019, as in `leidenalg`; generalised modularity of Reichardt &
    Bornholdt, 2006. Communities are connected; their number is near k, not k.

    Parameters
    ----------
    weights : (n, n) CSR
        Affinities.

    Returns
    -------
    (n,) int64
        Labels from 0.

    Raises
    ------
    PackageError
        If igraph and leidenalg are not installed.
    """
    igraph, leidenalg = (optional(name, "cytomesh[leiden]") for name in ("igraph", "leidenalg"))
    i, j = edge_list(weights)
    graph = igraph.Graph(n=weights.shape[0], edges=np.column_stack([i, j]))
    affinity = np.asarray(weights[i, j]).ravel()
    state = derived_seed(seed, "leiden") % 2**31

    def communities(resolution: float) -> Any:
        kind = leidenalg.RBConfigurationVertexPartition
        return leidenalg.find_partition(
            graph, kind, weights=affinity, resolution_parameter=resolution, n_iterations=2, seed=state
        )

    low, high = np.log(LOWEST), np.log(HIGHEST)
    best: Any = communities(1.0)
    for _ in range(MAX_TRIALS):
        middle = 0.5 * (low + high)
        found = communities(float(np.exp(middle)))
        if abs(len(found) - k) < abs(len(best) - k):
            best = found
        if len(found) == k:
            break
        low, high = (middle, high) if len(found) < k else (low, middle)
    return np.asarray(best.membership, np.int64)
