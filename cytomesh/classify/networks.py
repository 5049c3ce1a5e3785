"""Networks over nodes: a perceptron, and residual stacks of graph layers over the mesh."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.graph_layer import GraphConfig, NetworkConfig
from cytomesh.classify.kinds import LAYERS
from cytomesh.core.config import Size


class MlpModel(NetworkConfig):
    """Each node by itself: a multi-layer perceptron."""

    kind: Literal["mlp"]
    hidden: Size = 128
    """Units of each hidden layer."""
    layers: int = Field(default=2, ge=1, le=1000)
    """Hidden layers."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On the hidden layers."""
    input_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the inputs."""


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

    def __init__(self, settings: GraphConfig, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        hidden, depth = settings.hidden, settings.layers
        self.project = nn.Sequential(nn.Dropout(settings.input_dropout), nn.Linear(n_inputs, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(depth))
        self.layers = nn.ModuleList(LAYERS[settings.kind].from_settings(settings) for _ in range(depth))
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


def make_network(settings: NetworkConfig, n_inputs: int, n_classes: int) -> nn.Module:
    """Build the network that the settings describe, with random weights."""
    if isinstance(settings, MlpModel):
        return Mlp(settings, n_inputs, n_classes)
    assert isinstance(settings, GraphConfig)
    return GraphNetwork(settings, n_inputs, n_classes)


def reach(settings: NetworkConfig) -> int:
    """Return how many hops away a node's output depends on inputs; 0: on its own alone."""
    return settings.layers + LAYERS[settings.kind].extra_hops if isinstance(settings, GraphConfig) else 0
