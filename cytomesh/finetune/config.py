"""Settings of `cytomesh finetune`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from cytomesh.classify.graph_layer import NetworkConfig
from cytomesh.classify.kinds import LAYERS
from cytomesh.classify.layers import AttentionModel
from cytomesh.classify.networks import MlpModel
from cytomesh.classify.splits import SectionSplit, Split
from cytomesh.core.config import Config, Seed
from cytomesh.core.distributed import Device
from cytomesh.core.registry import OneOf
from cytomesh.imaging.augment import AugmentConfig

Network = Annotated[NetworkConfig, OneOf(LAYERS, MlpModel)]


class NodeSamplingConfig(Config):
    """Whose patches a batch holds: annotated training nodes, and nodes around them."""

    seeds_per_batch: PositiveInt = 24
    """Annotated training nodes drawn in each step."""
    neighbours: int = Field(default=9, ge=0)
    """Random walks from each seed, as long as the network is deep; the nodes where they end take part, too: a batch
    encodes at most seeds_per_batch * (1 + neighbours) patches."""
    balance: float = Field(default=0.5, ge=0, le=1)
    """Seeds are drawn n^-balance as often from an area with n nodes: 0 every node, 1 every area counts the same."""


class NetworkStartConfig(Config):
    """The network alone, before encoder and network: else its random weights would spoil the encoder."""

    steps: int = Field(default=60, ge=0)
    """Steps on the whole graphs and all training nodes."""
    learning_rate: PositiveFloat = 0.01
    """Peak, after a warm-up over a tenth of the steps; half a cosine follows."""


class RoundsConfig(Config):
    """Encoder and network together: AdamW with linear warm-up and cosine decay, in rounds.

    At the end of each round all nodes are encoded anew and the validation nodes are scored.
    """

    rounds: int = Field(default=4, ge=0)
    """Rounds; the weights of the best one are exported, those of the start among them."""
    steps_per_round: PositiveInt = 40
    """Batches of each."""
    warmup_steps: int = Field(default=10, ge=0)
    """Steps of linear rise."""
    encoder_learning_rate: PositiveFloat = 1e-4
    """Peak of the encoder's."""
    network_learning_rate: PositiveFloat = 3e-4
    """Peak of the network's."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decay of weight matrices and kernels; biases and norms are not decayed."""
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    """Probability mass spread over all classes in the target."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of the gradient."""
    patience: PositiveInt = 3
    """Stop after so many rounds without a better validation macro-F1."""


class FinetuneConfig(Config):
    """Settings of `cytomesh finetune`."""

    presets: ClassVar[str] = "finetune"
    model: Network = AttentionModel(kind="gat")
    """`gat`, `gatv2`, `gcn` or `sage`; `mlp` tunes the encoder without the graph."""
    split: Split = SectionSplit()
    """As of `cytomesh classify`: labels of the training side are learnt from, those of the validation side decide
    when to stop, and no other label is read."""
    sampling: NodeSamplingConfig = NodeSamplingConfig()
    """Whose patches a batch holds."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the patches in training, none by default: features that were learnt without comparing views
    can move far with them, and the network would learn of features that embed never gives. Mean and SD are always
    those of the encoder."""
    head: NetworkStartConfig = NetworkStartConfig()
    """The network alone."""
    schedule: RoundsConfig = RoundsConfig()
    """Encoder and network together."""
    device: Device = "auto"
    """Where to compute, in float32."""
    threads: PositiveInt | None = None
    """Threads that compute; the processors of the machine unless given."""
    readers: PositiveInt = 1
    """Threads that read patches ahead."""
    keep_checkpoints: PositiveInt = 2
    """Checkpoints kept; one is written at the end of each round."""
    seed: Seed = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _agrees(self) -> FinetuneConfig:
        if self.model.discriminant is not None:
            raise ValueError("model.discriminant is of fixed features, and these are learnt")
        return self
