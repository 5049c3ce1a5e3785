"""Graph layers: attention (GAT, GATv2) and convolution (GCN, GraphSAGE); parameters named and shaped as in PyG."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call

from cytomesh.classify.attention import MeshEdges, attend
from cytomesh.classify.attention_v2 import attend_v2
from cytomesh.classify.graph_layer import GraphConfig, GraphLayer
from cytomesh.graph.neighbourhoods import Floats


class ConvolutionModel(GraphConfig):
    """Fixed weights on the neighbours: GCN, or GraphSAGE with means."""

    kind: Literal["gcn", "sage"]


class AttentionModel(GraphConfig):
    """Learnt weights on the neighbours: GAT, or GATv2."""

    kind: Literal["gat", "gatv2"]
    heads: int = Field(default=4, ge=1, le=1000)
    """Attention heads of each layer; the width is divided between them."""
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the attention weights."""
    edges: list[Literal["length", "dihedral", "features"]] = Field(default=[])
    """What GAT's attention sees of a mesh edge: its length, the angle between its two faces, the distance of the inputs
    at its ends; standardised in each hemisphere."""

    @property
    def edge_attributes(self) -> tuple[str, ...]:
        """What attention sees of mesh edges."""
        return tuple(self.edges)

    @model_validator(mode="after")
    def _divisible(self) -> AttentionModel:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        if len(set(self.edges)) != len(self.edges):
            raise ValueError("edges: an attribute is listed twice")
        if self.edges and self.kind == "gatv2":
            raise ValueError("edges: gatv2 has no edge attributes, gat has")
        return self


class Attention(GraphLayer):
    """One graph attention layer, PyG's `GATConv`, heads side by side.

    Parameters
    ----------
    n_inputs : int
    channels, heads : int
        Width of a head, and how many; the output has channels * heads columns.
    dropout : float
        On the attention weights.
    n_attributes : int
        Attributes of an edge.
    """

    Config: ClassVar[type[GraphConfig]] = AttentionModel

    def __init__(self, n_inputs: int, channels: int, heads: int, dropout: float, n_attributes: int = 0) -> None:
        super().__init__()
        self.heads, self.channels, self.dropout = heads, channels, dropout
        self.lin = nn.Linear(n_inputs, heads * channels, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, heads, channels))
        self.att_dst = nn.Parameter(torch.empty(1, heads, channels))
        self.bias = nn.Parameter(torch.zeros(heads * channels))
        nn.init.xavier_uniform_(self.lin.weight)
        for vector in (self.att_src, self.att_dst):
            _glorot(vector)
        self.lin_edge: nn.Linear | None = None
        if n_attributes:
            self.lin_edge = nn.Linear(n_attributes, heads * channels, bias=False)
            self.att_edge = nn.Parameter(torch.empty(1, heads, channels))
            nn.init.xavier_uniform_(self.lin_edge.weight)
            _glorot(self.att_edge)

    @classmethod
    def from_settings(cls, settings: AttentionModel) -> Self:
        """Make a layer with random weights."""
        width = settings.hidden // settings.heads
        return cls(settings.hidden, width, settings.heads, settings.attention_dropout, len(settings.edges))

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) to (n, heads * channels)."""
        if not has_kernels(inputs):
            shape = (inputs.shape[1], self.channels, self.heads, self.lin_edge.in_features if self.lin_edge else 0)
            return by_pyg("GATConv", self, shape, self.dropout, inputs, edges)
        x = self.lin(inputs).view(-1, self.heads, self.channels)
        to_source, to_target = (self._products(v, self.lin, inputs) for v in (self.att_src, self.att_dst))
        kept = _kept(edges, self.heads, self.dropout if self.training else 0.0, x)
        to_edge = None
        attributes = edges.attributes_on(inputs.device)
        if self.lin_edge is not None and attributes is not None:
            to_edge = self._products(self.att_edge, self.lin_edge, attributes.to(inputs.dtype))
        out = attend(x, to_source, to_target, edges, kept, to_edge)
        return out.reshape(-1, self.heads * self.channels) + self.bias

    def _products(self, vector: Tensor, linear: nn.Linear, rows: Tensor) -> Tensor:
        # a . (W x) = (a W) . x: a few columns instead of a pass over all channels
        weight = linear.weight.view(self.heads, self.channels, -1)
        return nn.functional.linear(rows, (vector.view(self.heads, -1, 1) * weight).sum(1))


class AttentionV2(GraphLayer):
    """One dynamic graph attention layer, PyG's `GATv2Conv`, heads side by side.

    Parameters
    ----------
    n_inputs : int
    channels, heads : int
        Width of a head, and how many; the output has channels * heads columns.
    dropout : float
        On the attention weights.
    """

    Config: ClassVar[type[GraphConfig]] = AttentionModel

    def __init__(self, n_inputs: int, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.channels, self.dropout = heads, channels, dropout
        self.lin_l = nn.Linear(n_inputs, heads * channels)
        self.lin_r = nn.Linear(n_inputs, heads * channels)
        self.att = nn.Parameter(torch.empty(1, heads, channels))
        self.bias = nn.Parameter(torch.zeros(heads * channels))
        for linear in (self.lin_l, self.lin_r):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        _glorot(self.att)

    @classmethod
    def from_settings(cls, settings: AttentionModel) -> Self:
        """Make a layer with random weights."""
        return cls(settings.hidden, settings.hidden // settings.heads, settings.heads, settings.attention_dropout)

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) to (n, heads * channels)."""
        if not has_kernels(inputs):
            shape = (inputs.shape[1], self.channels, self.heads, 0)
            return by_pyg("GATv2Conv", self, shape, self.dropout, inputs, edges)
        source, target = (linear(inputs).view(-1, self.heads, self.channels) for linear in (self.lin_l, self.lin_r))
        kept = _kept(edges, self.heads, self.dropout if self.training else 0.0, source)
        out = attend_v2(source, target, self.att[0], edges, kept)
        return out.reshape(-1, self.heads * self.channels) + self.bias


class GraphConvolution(GraphLayer):
    """GCN, PyG's `GCNConv`: W (D^-1/2 (A + I) D^-1/2) x + b (Kipf and Welling 2017, eq. 2)."""

    Config: ClassVar[type[GraphConfig]] = ConvolutionModel
    extra_hops = 1  # weights hold the neighbours' degrees

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.lin = nn.Linear(n_inputs, n_outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        nn.init.xavier_uniform_(self.lin.weight)

    @classmethod
    def from_settings(cls, settings: ConvolutionModel) -> Self:
        """Make a layer with random weights."""
        return cls(settings.hidden, settings.hidden)

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) to (n, n_outputs)."""
        weights = edges.made("weights by degree", inputs.device, partial(weights_by_degree, edges))
        return _weighted_sums(self.lin(inputs), edges, weights) + self.bias


class MeanConvolution(GraphLayer):
    """GraphSAGE with means, PyG's `SAGEConv`: W_l mean_j x_j + W_r x_i + b over neighbours j (Hamilton et al. 2017)."""

    Config: ClassVar[type[GraphConfig]] = ConvolutionModel

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.lin_l = nn.Linear(n_inputs, n_outputs)
        self.lin_r = nn.Linear(n_inputs, n_outputs, bias=False)

    @classmethod
    def from_settings(cls, settings: ConvolutionModel) -> Self:
        """Make a layer with random weights."""
        return cls(settings.hidden, settings.hidden)

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) to (n, n_outputs)."""
        weights = edges.made("weights of means", inputs.device, partial(weights_of_means, edges))
        return self.lin_l(_weighted_sums(inputs, edges, weights)) + self.lin_r(inputs)


def weights_by_degree(edges: MeshEdges) -> Floats:
    """Return D^-1/2 (A + I) D^-1/2, (e,) float32."""
    degree = np.diff(edges.indptr).astype(np.float32)
    return 1 / np.sqrt(np.repeat(degree, np.diff(edges.indptr)) * degree[edges.indices])


def weights_of_means(edges: MeshEdges) -> Floats:
    """Return one over the number of neighbours, (e,) float32; 0 on a node's loop, which is no neighbour."""
    degree = np.diff(edges.indptr)
    weights = (edges.indices != edges.targets()) / np.maximum(np.repeat(degree, degree) - 1, 1)
    return weights.astype(np.float32)


def _weighted_sums(x: Tensor, edges: MeshEdges, weights: Tensor) -> Tensor:
    pairs = edges.edge_index(x.device).flip(0)  # rows first
    n = len(x)
    values = weights.to(x.dtype)
    matrix = torch.sparse_coo_tensor(pairs, values, (n, n), is_coalesced=True, check_invariants=False)
    return torch.sparse.mm(matrix, x)


def _kept(edges: MeshEdges, heads: int, dropout: float, like: Tensor) -> Tensor | None:
    """Return factors on the attention weights, (e, heads): 0 with probability `dropout`, else 1 / (1 - dropout)."""
    if dropout == 0:
        return None
    drawn = torch.rand(edges.indices.size, heads, device=like.device)
    return (drawn >= dropout).to(like.dtype).div_(1 - dropout)


def _glorot(vectors: Tensor) -> None:
    """Draw attention vectors, (1, heads, channels), as PyG does: Glorot's bound on the last two dimensions."""
    bound = math.sqrt(6.0 / (vectors.shape[1] + vectors.shape[2]))
    nn.init.uniform_(vectors, -bound, bound)


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
    attributes = edges.attributes_on(inputs.device) if shape[3] else None
    if attributes is not None:
        attributes = attributes.to(inputs.dtype)
    arguments = (inputs, edges.edge_index(inputs.device), attributes)
    return functional_call(conv, dict(layer.named_parameters()), arguments)


@cache
def _conv(kind: str, n_inputs: int, channels: int, heads: int, n_attributes: int) -> Any:
    from torch_geometric import nn as pyg

    with torch.device("meta"):  # no weights of its own
        options = {"heads": heads, "edge_dim": n_attributes or None, "add_self_loops": False}  # MeshEdges have loops
        return getattr(pyg, kind)(n_inputs, channels, **options)
