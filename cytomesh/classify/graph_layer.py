"""What a graph layer is, and the settings of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from pydantic import Field
from torch import Tensor, nn

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.classifier import ModelConfig
from cytomesh.classify.discriminant import DiscriminantConfig
from cytomesh.core.config import Size


class NetworkConfig(ModelConfig):
    """What all networks have."""

    discriminant: DiscriminantConfig | None = None
    """Give the network LDA's canonical variates for inputs, and LDA a vote; by default it sees the inputs."""


class GraphConfig(NetworkConfig):
    """Residual graph layers over the mesh: input projection, layers, linear read-out."""

    hidden: Size = 128
    """Width of all layers."""
    layers: int = Field(default=3, ge=1, le=1000)
    """Graph layers, i.e. how many hops a node sees beyond its inputs."""
    jumping_knowledge: bool = False
    """Whether the read-out sees the outputs of all layers, side by side, instead of the last one's."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On each layer's output."""
    input_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the inputs."""


class GraphLayer(nn.Module, ABC):
    """A layer over the mesh, from `hidden` columns to as many.

    A network of such layers is named by its settings, `Config`, a `GraphConfig` whose `kind` is the layer's name.
    """

    Config: ClassVar[type[GraphConfig]] = GraphConfig
    extra_hops: ClassVar[int] = 0
    """By how many hops a network of such layers sees farther than it has layers."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Any) -> Self:
        """Make a layer from settings of its `Config`, with random weights."""

    @abstractmethod
    def forward(self, inputs: Tensor, edges: MeshEdges) -> Tensor:
        """Map (n, hidden) to (n, hidden)."""
