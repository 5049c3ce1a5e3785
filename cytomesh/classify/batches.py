"""What a network sees at once: all nodes, or parts with halos; and sums over the ranks that share the parts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.edges import kept_entries
from cytomesh.classify.graph_layer import NetworkConfig
from cytomesh.classify.networks import reach
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import Inputs
from cytomesh.core.random import generator
from cytomesh.graph.partition import MeshPart, partition

T = TypeVar("T")
NO_EDGES = MeshEdges(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Batch:
    """Nodes that go through the network together.

    Parameters
    ----------
    index : int
        Position among all batches.
    nodes : (m,) int64
        Those that outputs are wanted for come first.
    n_core : int
        How many outputs are wanted; the others are the halo.
    edges : MeshEdges
        Among `nodes`, in their order.
    """

    index: int
    nodes: NDArray[np.int64]
    n_core: int
    edges: MeshEdges

    @property
    def core(self) -> NDArray[np.int64]:
        """Nodes that outputs are wanted for, (n_core,) int64."""
        return self.nodes[: self.n_core]

    def load(self, inputs: Inputs, device: torch.device) -> Tensor:
        """Return the inputs of the batch's nodes."""
        if isinstance(inputs, np.ndarray) and len(self.nodes) == len(inputs):  # all nodes, in order: no copy
            return torch.from_numpy(inputs).to(device)
        return torch.from_numpy(inputs[self.nodes]).to(device)


def make_batches(model: NetworkConfig, data: NodeData, max_nodes: int | None) -> list[Batch]:
    """Cut the nodes into batches of at most `max_nodes` core nodes; None: all at once.

    The halo has as many hops as the network sees: outputs of core nodes are those of the whole graph.
    """
    n, halo = len(data.targets), reach(model)
    if not halo:
        rows = np.arange(n)
        size = max_nodes or max(n, 1)
        pieces = [rows[start : start + size] for start in range(0, n, size)]
        return [Batch(i, piece, len(piece), NO_EDGES) for i, piece in enumerate(pieces)]
    if max_nodes is None or n <= max_nodes:
        return [Batch(0, np.arange(n), n, MeshEdges.from_adjacency(data.adjacency, data.edge_attributes))]
    parts = partition(data.positions, data.adjacency, max_nodes, halo)
    return [Batch(i, part.nodes, len(part.core), _edges(data, part)) for i, part in enumerate(parts)]


def _edges(data: NodeData, part: MeshPart) -> MeshEdges:
    if data.edge_attributes is None:
        return MeshEdges.from_adjacency(part.adjacency(data.adjacency))
    attributes = data.edge_attributes[kept_entries(data.adjacency, part.nodes)]
    return MeshEdges.from_adjacency(part.adjacency(data.adjacency), attributes)


def steps_of_epoch(batches: list[T], per_step: int | None, seed: int, epoch: int) -> list[list[T]]:
    """Deal the batches out to the steps of an epoch, shuffled by seed and epoch; None: one step with all, in order."""
    if per_step is None:
        return [batches]
    order = generator(seed, "steps", epoch).permutation(len(batches))
    return [[batches[i] for i in order[start : start + per_step]] for start in range(0, len(batches), per_step)]


def own(batches: list[T]) -> list[T]:
    """Return the batches of this rank; all of them in a single process."""
    if not dist.is_initialized():
        return batches
    return batches[dist.get_rank() :: dist.get_world_size()]


def sum_over_ranks(values: Tensor) -> Tensor:
    """Add up a tensor over all ranks, in place; nothing to do in a single process."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def sum_gradients(network: nn.Module) -> None:
    """Add up the gradients over all ranks; a rank without batches counts as zero."""
    if not dist.is_initialized():
        return
    parameters = [p for p in network.parameters() if p.requires_grad]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    sum_over_ranks(flat)
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter).clone()
        start += parameter.numel()
