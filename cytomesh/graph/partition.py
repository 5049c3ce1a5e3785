"""Graphs in parts: compact pieces of a cortex with a halo of neighbours, for what does not fit in memory at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MeshPart:
    """A piece of a graph.

    Parameters
    ----------
    core : (m,) int64
        Nodes that belong to this part and no other, ascending.
    nodes : (m + h,) int64
        The core, then its halo: all other nodes within some hops of it, ascending.
    """

    core: NDArray[np.int64]
    nodes: NDArray[np.int64]

    def adjacency(self, whole: sp.csr_matrix) -> sp.csr_matrix:
        """Return the edges among the part's nodes, in the order of `nodes`."""
        return whole[self.nodes][:, self.nodes]


def partition(positions: NDArray[np.floating], adjacency: sp.csr_matrix, max_nodes: int, halo: int) -> list[MeshPart]:
    """Cut a graph into parts of at most `max_nodes` core nodes each.

    Recursive coordinate bisection: the longest side of the bounding box is halved at the median until pieces are
    small enough, which keeps them compact and of nearly equal size.

    Parameters
    ----------
    positions : (n, 3) float
        Any unit.
    adjacency : (n, n) CSR
    halo : int
        Hops around the core. A network of L layers gives every core node what it gives on the whole graph if the
        halo has L hops (L + 1 where a layer also uses its neighbours' degrees).
    """
    pieces = [np.arange(len(positions))]
    small = []
    while pieces:
        piece = pieces.pop()
        if len(piece) <= max_nodes:
            small.append(np.sort(piece))
            continue
        axis = int(np.ptp(positions[piece], axis=0).argmax())
        middle = len(piece) // 2
        order = np.argpartition(positions[piece, axis], middle)
        pieces += [piece[order[middle:]], piece[order[:middle]]]
    links = adjacency.astype(bool)
    return [MeshPart(core, np.concatenate([core, _around(links, core, halo)])) for core in small]


def _around(links: sp.csr_matrix, core: NDArray[np.int64], hops: int) -> NDArray[np.int64]:
    inside = np.zeros(links.shape[0], bool)
    inside[core] = True
    ring = core
    for _ in range(hops):
        reached = np.unique(links[ring].indices)
        ring = reached[~inside[reached]]
        inside[ring] = True
    inside[core] = False
    return np.flatnonzero(inside)
