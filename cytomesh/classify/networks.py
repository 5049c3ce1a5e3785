"""Networks over nodes: a perceptron, and residual graph attention over the mesh."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges, attend
from cytomesh.classify.config import GatModel, MlpModel


class Mlp(nn.Module):
    """Each node by itself; the edges are ignored."""

    needs_edges = False

    def __init__(self, settings: MlpModel, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout(settings.input_dropout)]
        width = n_inputs
        for _ in range(settings.layers):
            hidden = settings.hidden
            layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Dropout(settings.dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, n_classes))

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:  # noqa: ARG002
        """Map (n, d) inputs to (n, k) logits."""
        return self.layers(inputs)


class Attention(nn.Module):
    """One graph attention layer; parameters are named and shaped as in PyG's `GATConv`, heads side by side.

    Parameters
    ----------
    n_inputs : int
    channels, heads : int
        Width of a head, and how many; the output has channels * heads columns.
    dropout : float
        On the attention weights.
    """

    def __init__(self, n_inputs: int, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.channels, self.dropout = heads, channels, dropout
        self.lin = nn.Linear(n_inputs, heads * channels, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, heads, channels))
        self.att_dst = nn.Parameter(torch.empty(1, heads, channels))
        self.bias = nn.Parameter(torch.zeros(heads * channels))
        nn.init.xavier_uniform_(self.lin.weight)
        bound = math.sqrt(6.0 / (heads + channels))  # PyG's glorot on the last two dimensions
        nn.init.uniform_(self.att_src, -bound, bound)
        nn.init.uniform_(self.att_dst, -bound, bound)

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) to (n, heads * channels)."""
        x = self.lin(inputs).view(-1, self.heads, self.channels)
        kept = None
        if self.training and self.dropout > 0:
            drawn = torch.rand(edges.indices.size, self.heads, device=x.device)
            kept = (drawn >= self.dropout).to(x.dtype).div_(1 - self.dropout)
        # a . (W x) = (a W) . x: a few columns instead of a pass over all channels
        weight = self.lin.weight.view(self.heads, self.channels, -1)
        to_source = nn.functional.linear(inputs, (self.att_src.view(self.heads, -1, 1) * weight).sum(1))
        to_target = nn.functional.linear(inputs, (self.att_dst.view(self.heads, -1, 1) * weight).sum(1))
        out = attend(x, to_source, to_target, edges, kept)
        return out.reshape(-1, self.heads * self.channels) + self.bias


class Gat(nn.Module):
    """Input projection, pre-norm residual attention layers, linear read-out (optionally of all layers)."""

    needs_edges = True

    def __init__(self, settings: GatModel, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        hidden, depth = settings.hidden, settings.layers
        self.project = nn.Sequential(nn.Dropout(settings.input_dropout), nn.Linear(n_inputs, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(depth))
        self.attentions = nn.ModuleList(
            Attention(hidden, hidden // settings.heads, settings.heads, settings.attention_dropout)
            for _ in range(depth)
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.keeps_all = settings.jumping_knowledge
        width = hidden * (depth + 1) if self.keeps_all else hidden
        self.read_out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_classes))

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) inputs to (n, k) logits."""
        x = self.project(inputs)
        states = [x]
        for norm, attention in zip(self.norms, self.attentions, strict=True):
            x = x + self.dropout(nn.functional.gelu(attention(norm(x), edges)))
            states.append(x)
        return self.read_out(torch.cat(states, dim=1) if self.keeps_all else x)


def make_network(settings: MlpModel | GatModel, n_inputs: int, n_classes: int) -> Mlp | Gat:
    """Build the network that the settings describe, with random weights."""
    if isinstance(settings, MlpModel):
        return Mlp(settings, n_inputs, n_classes)
    return Gat(settings, n_inputs, n_classes)
