"""What a network sees at once: all nodes, or parts with halos; and sums over the ranks that share the parts out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.config import AttentionModel, ConvolutionModel, MlpModel
from cytomesh.classify.context import Floats
from cytomesh.classify.nodes import NodeData
from cytomesh.graph.partition import partition

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

    def load(self, inputs: Floats, device: torch.device) -> Tensor:
        """Return the inputs of the batch's nodes as float32; `inputs` may be half precision, or mapped from disk."""
        if len(self.nodes) == len(inputs):  # all nodes, in order: no copy
            return torch.from_numpy(np.asarray(inputs, np.float32)).to(device)
        return torch.from_numpy(np.asarray(inputs[self.nodes], np.float32)).to(device)


def make_batches(
    model: MlpModel | AttentionModel | ConvolutionModel, data: NodeData, max_nodes: int | None
) -> list[Batch]:
    """Cut the nodes into batches of at most `max_nodes` core nodes; None: all at once.

    The halo has as many hops as the network has layers (one more for GCN, whose weights hold the neighbours'
    degrees): outputs of core nodes are those of the whole graph.
    """
    n = len(data.targets)
    if isinstance(model, MlpModel):
        rows = np.arange(n)
        size = max_nodes or max(n, 1)
        pieces = [rows[start : start + size] for start in range(0, n, size)]
        return [Batch(i, piece, len(piece), NO_EDGES) for i, piece in enumerate(pieces)]
    if max_nodes is None or n <= max_nodes:
        return [Batch(0, np.arange(n), n, MeshEdges.from_adjacency(data.adjacency))]
    halo = model.layers + (1 if model.kind == "gcn" else 0)
    parts = partition(data.positions, data.adjacency, max_nodes, halo)
    return [
        Batch(i, part.nodes, len(part.core), MeshEdges.from_adjacency(part.adjacency(data.adjacency)))
        for i, part in enumerate(parts)
    ]


def own(batches: list[Batch]) -> list[Batch]:
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
