"""PyTorch Geometric's attention layers with the weights of cytomesh's: for devices without row kernels."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cytomesh.classify.attention import MeshEdges


def has_kernels(inputs: Tensor) -> bool:
    """Return whether layers are computed by the row kernels, which are some 3 to 7 times as fast on CPUs."""
    return inputs.device.type == "cpu"


def by_pyg(
    kind: str, layer: nn.Module, shape: tuple[int, ...], dropout: float, inputs: Tensor, edges: MeshEdges
) -> Tensor:
    """Map (n, d) to (n, heads * channels) by PyG's layer of this kind.

    Parameters
    ----------
    kind : {"GATConv", "GATv2Conv"}
    layer : nn.Module
        Whose weights, named as PyG's, are used.
    shape : (d, channels, heads, attributes of an edge)
    dropout : float
        On the attention weights, while the layer is trained.
    """
    conv = _conv(kind, *shape)
    conv.dropout = dropout
    conv.train(layer.training)
    attributes = None
    if edges.attributes is not None and shape[3]:
        attributes = torch.from_numpy(edges.attributes).to(inputs)
    arguments = (inputs, edges.edge_index(inputs.device), attributes)
    return functional_call(conv, dict(layer.named_parameters()), arguments)


@cache
def _conv(kind: str, n_inputs: int, channels: int, heads: int, n_attributes: int) -> Any:
    from torch_geometric import nn as pyg

    with torch.device("meta"):  # no weights of its own
        options = {"heads": heads, "edge_dim": n_attributes or None, "add_self_loops": False}  # MeshEdges have loops
        return getattr(pyg, kind)(n_inputs, channels, **options)
