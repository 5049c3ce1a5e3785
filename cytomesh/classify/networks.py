"""Networks over nodes: a perceptron, and residual stacks of graph layers over the mesh."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.config import AttentionModel, ConvolutionModel, MlpModel
from cytomesh.classify.layers import Attention, AttentionV2, GraphConvolution, MeanConvolution


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


class GraphNetwork(nn.Module):
    """Input projection, pre-norm residual graph layers, linear read-out (optionally of all layers)."""

    needs_edges = True

    def __init__(self, settings: AttentionModel | ConvolutionModel, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        hidden, depth = settings.hidden, settings.layers
        self.project = nn.Sequential(nn.Dropout(settings.input_dropout), nn.Linear(n_inputs, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(depth))
        self.layers = nn.ModuleList(_layer(settings) for _ in range(depth))
        self.dropout = nn.Dropout(settings.dropout)
        self.keeps_all = settings.jumping_knowledge
        width = hidden * (depth + 1) if self.keeps_all else hidden
        self.read_out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_classes))

    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, d) inputs to (n, k) logits."""
        x = self.project(inputs)
        states = [x]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + self.dropout(nn.functional.gelu(layer(norm(x), edges)))
            states.append(x)
        return self.read_out(torch.cat(states, dim=1) if self.keeps_all else x)


def _layer(settings: AttentionModel | ConvolutionModel) -> nn.Module:
    hidden = settings.hidden
    if isinstance(settings, ConvolutionModel):
        return GraphConvolution(hidden, hidden) if settings.kind == "gcn" else MeanConvolution(hidden, hidden)
    shape = (hidden, hidden // settings.heads, settings.heads, settings.attention_dropout)
    return Attention(*shape, len(settings.edges)) if settings.kind == "gat" else AttentionV2(*shape)


def make_network(settings: MlpModel | AttentionModel | ConvolutionModel, n_inputs: int, n_classes: int) -> nn.Module:
    """Build the network that the settings describe, with random weights."""
    if isinstance(settings, MlpModel):
        return Mlp(settings, n_inputs, n_classes)
    return GraphNetwork(settings, n_inputs, n_classes)
