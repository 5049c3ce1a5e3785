"""Batches of nodes: annotated ones evenly over the areas, nodes that influence them, and the graph among all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.classify.attention import MeshEdges
from cytomesh.core.random import generator
from cytomesh.finetune.nodes import TrainingNodes


@dataclass(frozen=True, slots=True)
class NodeBatch:
    """What goes through the network in a step.

    Parameters
    ----------
    nodes : (m,) int64
        Nodes whose patches are encoded, the targets first.
    n_targets : int
        Training nodes whose areas are to be named; the outputs of the others are dropped.
    edges : MeshEdges
        Among `nodes`, in their order.
    """

    nodes: NDArray[np.int64]
    n_targets: int
    edges: MeshEdges


class NodeSampler:
    """Draw batches of nodes.

    Seeds are training nodes, drawn in proportion to n^-balance of their area. From each, random walks as long as the
    network is deep visit a node or stay (with equal chances): the probability that a walk ends at a node is that
    node's influence on the seed's output (Xu et al., "Representation learning on graphs with jumping knowledge
    networks", ICML 2018, theorem 1), so that the patches that are encoded are those that matter. All seeds, and all
    ends of walks that are training nodes, are targets; the network sees the mesh edges among all nodes drawn, a part of
    each neighbourhood (as in Zeng et al., "GraphSAINT", ICLR 2020).

    A batch depends on the seed and its step only: a resumed run goes on exactly.

    Parameters
    ----------
    nodes : TrainingNodes
    hops : int
        Reach of the network.
    balance : float
    seed : int
    """

    def __init__(self, nodes: TrainingNodes, hops: int, balance: float, seed: int) -> None:
        self.nodes = nodes
        self.hops = hops
        self.seed = seed
        self.rows = np.flatnonzero(nodes.is_train)
        counts = np.bincount(nodes.targets[self.rows], minlength=len(nodes.classes)).astype(np.float64)
        self._cumulative = np.cumsum(counts[nodes.targets[self.rows]] ** -balance)

    def draw(self, step: int, n_seeds: int, neighbours: int) -> NodeBatch:
        """Return the batch of a step, up to n_seeds * (1 + neighbours) nodes."""
        rng = generator(self.seed, "batch", step)
        picked = np.searchsorted(self._cumulative, rng.random(n_seeds) * self._cumulative[-1], side="right")
        seeds = self.rows[np.minimum(picked, len(self.rows) - 1)]
        ends = walk(self.nodes.adjacency, np.repeat(seeds, neighbours), self.hops, rng)
        return node_batch(self.nodes, np.concatenate([seeds, ends[self.nodes.pool_row[ends] >= 0]]))


def node_batch(nodes: TrainingNodes, drawn: NDArray[np.int64]) -> NodeBatch:
    """Return the batch of some linked nodes: those that are training nodes are targets."""
    drawn = np.unique(drawn)
    is_target = nodes.is_train[drawn]
    members = np.concatenate([drawn[is_target], drawn[~is_target]])
    return NodeBatch(members, int(is_target.sum()), MeshEdges.from_adjacency(nodes.adjacency[members][:, members]))


def walk(
    adjacency: sp.csr_matrix, starts: NDArray[np.int64], steps: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return where random walks end: each step goes to one of the neighbours or stays, all equally likely."""
    at = starts.astype(np.int64)
    for _ in range(steps):
        first = adjacency.indptr[at].astype(np.int64)
        degree = adjacency.indptr[at + 1] - first
        choice = np.minimum((rng.random(len(at)) * (degree + 1)).astype(np.int64), degree)
        moves = choice < degree
        at[moves] = adjacency.indices[first[moves] + choice[moves]]
    return at
