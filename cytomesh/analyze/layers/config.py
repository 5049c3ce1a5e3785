"""Settings of `cytomesh segment-layers`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from cytomesh.classify.splits import SectionSplit, Split
from cytomesh.core.config import Config, Seed
from cytomesh.core.distributed import Device

Class = Literal["background", "I", "II", "III", "IV", "V", "VI", "white", "ignore"]


NAMES: tuple[Class, ...] = ("I", "II", "III", "IV", "V", "VI")
CODES: dict[Class, list[int]] = {**{name: [i + 1] for i, name in enumerate(NAMES)}, "white": [7]}
DRAWN: dict[str, Class] = {**{f"layer {name}": name for name in NAMES}, "white matter": "white"}


class TruthConfig(Config):
    """Where layers were drawn, and what the drawings mean."""

    files: str = "layers/{brain}_{section:04d}.png"
    """A file for each section with layers, from the manifest's folder: `{brain}` and `{section}` stand for a section's;
    or a table (`.tsv`) with columns brain, section and file, beside which the files are. Label images (PNG, TIFF,
    NIfTI) or contours of layers (QuPath GeoJSON). Sections without a file are segmented, and not scored."""
    um_per_px: float | None = Field(default=None, gt=0)
    """Pixel size of label images; by default that of the section's image, whose size they then have."""
    codes: dict[Class, list[int]] = Field(default=CODES)
    """Values of label images by what they mean; 0 is background unless named. What is `ignore` is not learnt from."""
    classes: dict[str, Class] = Field(default=DRAWN)
    """Classes of contours by what they mean: what is in none of them is background."""

    @field_validator("codes")
    @classmethod
    def _once(cls, codes: dict[Class, list[int]]) -> dict[Class, list[int]]:
        meaning: dict[int, Class] = {}
        for name, values in codes.items():
            for value in values:
                if meaning.setdefault(value, name) != name:
                    raise ValueError(f"value {value} means {meaning[value]} and {name}")
        return codes


class DecoderConfig(Config):
    """The network on the encoder's feature maps and the patch itself."""

    width: int = Field(default=32, ge=1)
    """Channels to which each map is brought, and of the block after their sum."""
    maps: int = Field(default=4, ge=1)
    """Feature maps of the encoder that are read: the finest stages of a CNN, evenly spread blocks of a transformer."""
    fine_width: int = Field(default=12, ge=1)
    """Channels of the last scale, that of the patch itself."""


class TrainingConfig(Config):
    """How a decoder learns: AdamW on patches at the image links of training nodes."""

    steps: int = Field(default=300, ge=1)
    """Steps, with a cosine schedule."""
    batch_size: int = Field(default=16, ge=1)
    """Patches per step."""
    learning_rate: float = Field(default=0.01, gt=0)
    """Of the decoder, at its peak."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of AdamW."""
    balance: float = Field(default=0.5, ge=0, le=1)
    """Classes weigh as the power -balance of their share of pixels: 0 counts pixels, 1 classes."""
    shift_mm: float = Field(default=0.5, ge=0)
    """Patches are moved by up to so much along both axes of the image."""
    rotation_deg: float = Field(default=10.0, ge=0, le=180)
    """And turned by up to so much; half of them are mirrored."""
    intensity_scale: float = Field(default=0.3, ge=0, lt=1)
    """Random contrast, as in the augmentation of `cytomesh pretrain`: brains differ in their stain."""
    intensity_offset: float = Field(default=0.1, ge=0, le=1)
    """Random brightness."""
    gamma: float = Field(default=0.3, ge=0)
    """Random exponent of the intensity."""
    validate_every: int = Field(default=50, ge=1)
    """Steps between validations; the weights with the best macro-F1 over validation pixels are kept."""
    validation_patches: int = Field(default=256, ge=1)
    """Patches of validation nodes that decide this, evenly drawn; without such nodes the last weights are kept."""
    fine_tune: bool = False
    """Train the encoder, too, at `encoder_rate`: its weights are stored beside the decoder's."""
    encoder_rate: float = Field(default=1e-4, gt=0)
    """Learning rate of the encoder where it is fine-tuned."""


class LayersConfig(Config):
    """Everything `cytomesh segment-layers` can be told."""

    presets: ClassVar[str] = "segment-layers"
    encoders: list[str] = Field(default=[])
    """Encoders of the run, or folders of others, by default all of the run; each gets a decoder. The first one's maps
    and thicknesses are written, the others are scored beside it."""
    truth: TruthConfig = TruthConfig()
    """The layers to learn from."""
    split: Split = SectionSplit()
    """Which nodes are learnt from, as in `cytomesh classify`; pixels belong to the side of the node next to them."""
    decoder: DecoderConfig = DecoderConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """Its training."""
    sections: Literal["all", "scored"] = "all"
    """Sections that are segmented: all with image links, or those of validation and test sides, to compare encoders."""
    every: int = Field(default=1, ge=1)
    """Only every n-th section of each side of each brain is read, learnt from and segmented: a quick look."""
    um_per_px: float | None = Field(default=None, gt=0, le=500)
    """Pixel size of the segmentation; by default the encoder's, but not less than 20 um. Coarser ones would leave a
    few pixels of cortex."""
    overlap: float = Field(default=0.5, ge=0, lt=1)
    """Share of a tile's side that the next one along the ribbon covers again."""
    depths: int = Field(default=48, ge=12)
    """Samples along a column, from pial to white."""
    smoothing_mm: float = Field(default=0.3, ge=0)
    """SD of a Gaussian along the ribbon, over the probabilities of columns, before layers are put in order."""
    batch_size: int = Field(default=64, ge=1)
    """Most tiles segmented together."""
    on_bad_section: Literal["stop", "skip"] = "stop"
    """What to do with a section that cannot be segmented: stop with its error, or leave it out, which metrics and
    report say. Sections that are learnt from are never left out."""
    device: Device = "auto"
    """Where to compute."""
    seed: Seed = 0
    """Of training."""
