"""Ward's method along the edges of a graph: the whole tree of merges in compiled code."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.surface.compiled import kernel


@dataclass(frozen=True, slots=True)
class WardTree:
    """The order in which touching regions were merged.

    Parameters
    ----------
    n_leaves : int
        Regions at the start, numbered 0..n_leaves-1.
    children : (s, 2) int64
        The two regions of each merge; merge m makes region n_leaves + m (the numbering of SciPy's linkage).
    growth : (s,) float64
        How much each merge adds to the sum of squares within regions.
    """

    n_leaves: int
    children: NDArray[np.int64]
    growth: NDArray[np.float64]

    @property
    def fewest(self) -> int:
        """Number of regions when nothing touches any more (the components), or where merging was stopped."""
        return self.n_leaves - len(self.children)

    def cut(self, k: int) -> NDArray[np.int64]:
        """Return the region of every leaf, (n_leaves,) int64 from 0, when k (or `fewest`) were left."""
        root = np.arange(self.n_leaves + len(self.children))
        done = self.n_leaves - max(k, self.fewest)
        for merge in range(done - 1, -1, -1):  # parents before children
            root[self.children[merge]] = root[self.n_leaves + merge]
        return np.unique(root[: self.n_leaves], return_inverse=True)[1].astype(np.int64)


def ward_tree(
    values: NDArray[np.float64],
    adjacency: sp.csr_matrix,
    counts: NDArray[np.float64] | None = None,
    stop_at: int = 1,
) -> WardTree:
    """Merge touching regions, cheapest first, until `stop_at` are left or none touch.

    The cost of a merge is the growth of the within-region sum of squares, n_a n_b / (n_a + n_b) |m_a - m_b|^2
    (Ward, Hierarchical grouping to optimize an objective function, 1963). As in scikit-learn's structured Ward, only
    regions that share an edge are merged; ties go to the pair numbered lowest.

    Parameters
    ----------
    values : (n, q) float64
        Mean of every region at the start.
    adjacency : (n, n) CSR
        Symmetric; which regions touch.
    counts : (n,) float64, optional
        Weight (number of nodes) of every region; 1 if not given.
    """
    n = len(values)
    graph = sp.csr_matrix(adjacency)
    weights = np.ones(n) if counts is None else np.asarray(counts, np.float64).copy()
    children, growth = _merge(
        graph.indptr.astype(np.int64),
        graph.indices.astype(np.int64),
        np.array(values, np.float64, order="C"),
        weights,
        max(n - max(stop_at, 1), 0),
    )
    return WardTree(n, children, growth)


@kernel
def _cost(means, weights, a, b):  # type: ignore[no-untyped-def]
    squared = 0.0
    for column in range(means.shape[1]):
        difference = means[a, column] - means[b, column]
        squared += difference * difference
    return weights[a] * weights[b] / (weights[a] + weights[b]) * squared


@kernel
def _merge(indptr, indices, means, weights, n_merges):  # type: ignore[no-untyped-def]
    """Merge greedily; `means` and `weights` are overwritten: a merged region lives in the row of its first child."""
    n, q = means.shape
    total = n + n_merges
    row = np.empty(total, np.int64)
    row[:n] = np.arange(n)
    parent = np.full(total, -1, np.int64)
    start, end = np.empty(total, np.int64), np.empty(total, np.int64)
    start[:n], end[:n] = indptr[:-1], indptr[1:]
    seen = np.full(total, -1, np.int64)
    pool = np.empty(2 * len(indices) + 1024, np.int64)  # neighbour lists; that of a merged region is added at the end
    pool[: len(indices)] = indices
    used = len(indices)
    queue = [(_cost(means, weights, a, b), a, b) for a in range(n) for b in indices[indptr[a] : indptr[a + 1]] if a < b]
    heapq.heapify(queue)
    children = np.empty((n_merges, 2), np.int64)
    growth = np.empty(n_merges)
    done = 0
    while done < n_merges and len(queue) > 0:
        cost, a, b = heapq.heappop(queue)
        if parent[a] >= 0 or parent[b] >= 0:
            continue
        new = n + done
        children[done, 0], children[done, 1], growth[done] = a, b, cost
        parent[a], parent[b] = new, new
        keep, gone = row[a], row[b]
        both = weights[keep] + weights[gone]
        for column in range(q):
            means[keep, column] = (weights[keep] * means[keep, column] + weights[gone] * means[gone, column]) / both
        weights[keep] = both
        row[new] = keep
        most = end[a] - start[a] + end[b] - start[b]
        if used + most > len(pool):
            larger = np.empty(2 * (used + most), np.int64)
            larger[:used] = pool[:used]
            pool = larger
        start[new] = used
        seen[new] = new
        for child in (a, b):
            for position in range(start[child], end[child]):
                other = pool[position]
                while parent[other] >= 0:
                    if parent[parent[other]] >= 0:
                        parent[other] = parent[parent[other]]
                    other = parent[other]
                if seen[other] != new:
                    seen[other] = new
                    pool[used] = other
                    used += 1
                    heapq.heappush(queue, (_cost(means, weights, row[other], keep), other, new))
        end[new] = used
        done += 1
    return children[:done], growth[:done]
