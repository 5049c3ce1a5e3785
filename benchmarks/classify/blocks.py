"""Compact blocks of a cortex, to choose settings within one hemisphere: nodes side by side share their inputs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from cytomesh.graph.neighbourhoods import Mask, nearest_source


def spread_blocks(
    adjacency: sp.csr_matrix, is_inside: Mask, n_blocks: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Cut the nodes into blocks of similar extent: Voronoi cells, by hops, of centres far from each other.

    The first centre is drawn; each of the others is drawn among the inside nodes that lie within a hop of the
    greatest distance to all centres so far.

    Returns
    -------
    (n,) int64, -1 where no centre is in reach.
    """
    distance = np.full(len(is_inside), np.inf)
    centres: list[int] = []
    for _ in range(min(n_blocks, int(is_inside.sum()))):
        reach = np.where(is_inside, distance, -np.inf)
        centre = int(random.choice(np.flatnonzero(reach >= reach.max() - 1)))
        centres.append(centre)
        distance = np.minimum(distance, dijkstra(adjacency, indices=centre, unweighted=True))
    return nearest_source(adjacency, np.array(centres, np.int64))


def fold_masks(
    adjacency: sp.csr_matrix, is_inside: Mask, n_blocks: int, n_folds: int, margin: int, random: np.random.Generator
) -> list[tuple[Mask, Mask]]:
    """Deal blocks to folds.

    Parameters
    ----------
    is_inside : (n,) bool
        Nodes that take part.
    margin : int
        Nodes at most this many hops from a fold's blocks neither train nor test in it.

    Returns
    -------
    list of (train, test), each (n,) bool; one pair a fold.
    """
    block = spread_blocks(adjacency, is_inside, n_blocks, random)
    fold_of_block = random.permutation(np.arange(n_blocks) % n_folds)
    fold = np.where(block < 0, -1, fold_of_block[block])
    masks = []
    for k in range(n_folds):
        held_out = fold == k
        near = dijkstra(adjacency, indices=np.flatnonzero(held_out), unweighted=True, min_only=True, limit=margin)
        masks.append((np.asarray(is_inside & ~np.isfinite(near)), np.asarray(is_inside & held_out)))
    return masks
