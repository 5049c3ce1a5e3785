"""Settings of pretraining and of embedding; the YAML files under `configs/` set what differs from these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from cytomesh.core.config import Config, Seed, Size, ascending
from cytomesh.core.distributed import Device
from cytomesh.core.remote import is_address
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.pretrain.objectives.kinds import OBJECTIVES, Objectives, need, objectives_of

BrainRoleName = Literal["train", "transfer", "unseen"]


class EncoderConfig(Config):
    """A timm model and what is put in front of and behind it."""

    name: str = "auto"
    """Name of the timm model (`timm.list_models()`), CNN or ViT; `auto`: resnet50 on a GPU, resnet18 on a CPU."""
    in_chans: Literal[1, 3] | None = None
    """Channels that the network takes, those of the study's images unless given. Grey images are repeated over three
    channels (for weights trained on photographs), of RGB images a grey network sees the luminance."""
    patch_size: Size | None = None
    """Side of a ViT's tokens, pixels; the model's own unless given."""
    drop_path_rate: float = Field(default=0.0, ge=0, lt=1)
    """Share of residual branches left out at random while training."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `timm.create_model`, such as `{global_pool: avg}`."""
    channels_last: bool = True
    """Keep images channel by channel at each pixel, which is faster for most CNNs."""
    stem: Literal["model", "strided"] = "model"
    """`strided`: two strided convolutions before the model, which then sees a quarter of the side: a ResNet50 on
    2,048 px takes about a ninth of the memory, and the first layers still see every pixel."""
    weights: str = "random"
    """Weights to begin with: `random`, `pretrained` (timm downloads them), or a file of this model (safetensors or a
    PyTorch state dictionary). With `schedule.steps: 0` they are used as they are, as a baseline."""
    layers: Annotated[list[int], Field(min_length=1)] | None = None
    """Blocks of a ViT, or stages of a CNN, from 0, whose tokens or maps are averaged and set side by side as the
    feature, [5, 8, 11]: what a published model knows may lie before its last block. What lies behind the last one is
    left out of the network. By default the feature is the model's own pooled output."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them (for large ViTs)."""

    @field_validator("layers")
    @classmethod
    def _ascending(cls, layers: list[int] | None) -> list[int] | None:
        return layers and ascending(layers, 0, "layers")


class HeadConfig(Config):
    """The projection head, which is dropped after pretraining (Chen et al., 2020)."""

    layers: int = Field(default=2, ge=2, le=3)
    """Number of linear layers."""
    hidden: Size = 512
    """Width between them."""
    out: Size = 128
    """Dimension of the vectors that the loss compares."""
    norm: Literal["batch", "layer"] = "batch"
    """Normalisation between the layers."""


class PatchConfig(Config):
    """What the encoder looks at."""

    size_px: int = Field(default=0, ge=0, le=65536)
    """Side of a patch, pixels; 0: a field of view of 1.6 times the thickness of the cortex."""
    um_per_px: float = Field(default=0.0, ge=0)
    """Pixel size of a patch, micrometres; 0: that of the images, or as much more as makes patches no larger than 256
    px on a GPU, 128 px on a CPU."""
    border_px: int = Field(default=8, ge=0)
    """Extra pixels read on each side for training, so that rotated and shifted patches show tissue at their corners."""
    bank_gib: float = Field(default=4.0, ge=0)
    """Extract all patches before training if they take no more than this, GiB; else read them batch by batch, unless
    `cytomesh patches export` has extracted them."""
    # of machines, both: what is trained does not depend on them
    bank_address: str | None = Field(default=None, exclude=True)
    """Address (s3://, gs://, https://) of extracted patches, below which each bank has a folder of its own: `cytomesh
    patches export` puts them there, and training reads them from there or, without them, stops."""
    cache_dir: Path | None = Field(default=None, exclude=True)
    """Folder on a disk of this machine to which extracted patches are copied, a section when it is first read."""

    @field_validator("bank_address")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None and not is_address(address):
            raise ValueError("no address (s3://bucket/folder, gs://bucket/folder, https://host/folder)")
        return address


class SamplingConfig(Config):
    """How batches are drawn."""

    roles: tuple[BrainRoleName, ...] = ("train", "transfer")
    """Brains to learn from."""
    seeds_per_batch: int = Field(default=64, ge=1, le=2**24)
    """Patches drawn evenly over the cortex, of all ranks together: at least one per rank."""
    neighbours: int = Field(default=3, ge=0, le=1000)
    """Patches drawn around each seed, from other sections."""
    radius_mm: float = Field(default=0.0, ge=0)
    """Neighbours lie within this distance in reference space, mm; near ones are drawn more often. 0: twice the width
    of SpatialNCE's kernel, or of what it would be."""
    annotated_only: bool = False
    """Draw only annotated patches of training sections: for objectives that learn from nothing else."""
    section_balance: float = Field(default=0.0, ge=0, le=1)
    """0: a section's patches are drawn in proportion to the cortex they stand for; 1: every section of a brain as often
    as any other, so that a few that cut cortex flat do not fill the batches."""
    other_brain_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the neighbours that come from another brain, where one is near."""

    @property
    def batch_size(self) -> int:
        """Patches of a batch, of all ranks together."""
        return self.seeds_per_batch * (1 + self.neighbours)


class ScheduleConfig(Config):
    """AdamW or LARS with linear warm-up and cosine decay (Loshchilov & Hutter, 2017, 2019; You et al., 2017)."""

    optimizer: Literal["adamw", "lars"] = "adamw"
    """AdamW; or LARS (learning rates of about 0.3 a 256 patches) for batches of thousands of patches."""
    steps: int = Field(default=1000, ge=0)
    """Batches; 0 exports the encoder as it begins, a baseline."""
    warmup_steps: int = Field(default=50, ge=0)
    """Steps of linear rise."""
    learning_rate: PositiveFloat = 1e-3
    """Highest learning rate."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decay of weight matrices and kernels; biases and norms are not decayed."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of the gradient."""
    parts: PositiveInt = 1
    """Parts in which a rank encodes its patches, one after the other, if they do not fit into memory together: the
    batch that is contrasted, and its gradient, stay whole (GradCache), for one more forward pass."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Export the exponential moving average of the weights, with this decay a step; 0: the last weights."""


class MonitorConfig(Config):
    """Scores on annotated nodes of validation sections while training: of nearest neighbours, and linear."""

    every_steps: int = Field(default=0, ge=0)
    """Steps between scores; 0: never. The best weights are kept as `checkpoints/best.pt`."""
    n_nodes: PositiveInt = 2000
    """Annotated nodes to learn from, and as many held-out ones to score."""
    neighbours: PositiveInt = 20
    """k of the nearest neighbours."""
    patience: int = Field(default=0, ge=0)
    """Stop after so many scores without a better linear macro-F1; 0: never."""
    export: Literal["last", "best"] = "last"
    """Weights to export; `best` looks at labels of validation sections, and so is no longer without labels."""


class PretrainConfig(Config):
    """Settings of `cytomesh pretrain`."""

    presets: ClassVar[str] = "pretrain"
    encoder: EncoderConfig = EncoderConfig()
    """The model."""
    head: HeadConfig = HeadConfig()
    """The projection head."""
    patches: PatchConfig = PatchConfig()
    """What the encoder looks at."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the patches while training, and their normalisation."""
    objectives: Objectives = Field(default_factory=lambda: objectives_of(spatial_nce={}))
    """What is learned."""
    views: Literal[1, 2] = 1
    """Differently augmented copies of each patch in a batch."""
    sampling: SamplingConfig = SamplingConfig()
    """How batches are drawn."""
    schedule: ScheduleConfig = ScheduleConfig()
    """How long and how fast."""
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Arithmetic of the encoder on a GPU; the loss, and everything on a CPU, is float32."""
    device: Device = "auto"
    """Where to compute."""
    threads: PositiveInt | None = None
    """Threads per rank that compute; the processors of the machine are shared between its ranks unless given."""
    readers: PositiveInt = 1
    """Threads per rank that read patches ahead."""
    by_section: bool = True
    """Give each rank the patches of a batch that come from a slab of sections, so that it opens few images; the batch,
    and the loss, is the same. Not on CPU ranks with batch norm, which normalise each by its own patches."""
    log_every: PositiveInt = 20
    """Steps between lines in `metrics.jsonl`."""
    checkpoint_every: PositiveInt = 500
    """Steps between checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """Checkpoints kept."""
    monitor: MonitorConfig = MonitorConfig()
    """Scores while training."""
    compile: bool = False
    """Compile the model (`torch.compile`): minutes at the start for faster steps on a GPU."""
    collapse_spread: float = Field(default=0.02, ge=0, lt=1)
    """Feature spread (1: evenly over the sphere, 0: all vectors the same) below which a collapse is reported."""
    seed: Seed = 0
    """Seed of everything random."""

    @model_validator(mode="after")
    def _agrees(self) -> PretrainConfig:
        if not self.objectives.named():
            raise ValueError(f"objectives: none given, choose of {', '.join(OBJECTIVES)}")
        paired = need(self.objectives, "two views")
        if paired and self.views != 2:
            raise ValueError(f"objectives.{paired[0]} needs views: 2")
        monitor = self.monitor
        if (monitor.patience or monitor.export == "best") and not monitor.every_steps:
            raise ValueError("monitor.patience and monitor.export: best need monitor.every_steps")
        warmup, steps = self.schedule.warmup_steps, self.schedule.steps
        if warmup > steps > 0:
            raise ValueError(
                f"schedule.steps is smaller than schedule.warmup_steps ({steps} < {warmup}): "
                f"--set schedule.warmup_steps=0, or at most {steps}"
            )
        return self


class EmbedConfig(Config):
    """Settings of `cytomesh embed`."""

    presets: ClassVar[str] = "embed"
    rotations: PositiveInt = 1
    """Features are averaged over so many rotations of each patch, read anew from the image."""
    rotation_deg: float = Field(default=15.0, gt=0, le=180)
    """They are spread evenly over +- this angle; 180: over the full circle."""

    batch_size: Size = 256
    """Most patches encoded together, fewer where they are larger than 128 px (256 px on a GPU); batches never span two
    sections."""
    dtype: Literal["float16", "float32"] = "float32"
    """Numbers that are stored."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the encoder: bfloat16 is about twice as fast on a GPU, and features differ in the third digit."""
    compile: bool = False
    """Compile the model (`torch.compile`) on a GPU: minutes at the start for faster batches."""
    device: Device = "auto"
    """Where to compute."""
    seed: Seed = 0
    """Recorded only: nothing here is random."""
