"""Settings of `cytomesh inspect`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, field_validator

from cytomesh.analyze.folds import FoldsConfig
from cytomesh.core.config import Config, Seed

AREA, BRAIN = "area", "brain"


class MapConfig(Config):
    """The map of nodes by their features, in two dimensions."""

    method: Literal["tsne", "umap", "pca"] = "tsne"
    """`tsne`: neighbours stay neighbours (van der Maaten & Hinton, 2008); `umap`: the same, faster on many nodes, needs
    cytomesh[umap] (McInnes et al., 2018); `pca`: the two directions of most variance, whose axes have a meaning."""
    n_nodes: int = Field(default=4000, ge=10, le=200_000)
    """At most so many nodes, drawn at random from all linked ones."""
    neighbours: int = Field(default=30, ge=2, le=1000)
    """Nodes whose distances are kept: perplexity of t-SNE, n_neighbors of UMAP."""
    colour_by: list[str] = Field(default=[AREA, BRAIN, "ref_x_mm", "ref_y_mm", "ref_z_mm"], min_length=1)
    """What the map is coloured by: `area`, `brain`, a column of numbers of nodes.parquet, or of what another analysis
    measured at nodes ("cells:density_per_mm3"). `ref_x_mm` is positive away from the midline."""


class ExamplesConfig(Config):
    """Nodes whose patches are shown, with their nearest neighbours and with what the encoder looks at."""

    areas: list[str] = Field(default=[])
    """Areas to draw nodes from, by name; by default the `n_areas` with most nodes."""
    n_areas: int = Field(default=4, ge=0, le=100)
    """How many areas, unless `areas` names them."""
    per_area: int = Field(default=2, ge=1, le=100)
    """Nodes of each area, of different brains as far as it has them there."""
    nodes: list[str] = Field(default=[])
    """Further nodes, each "GRAPH:NODE", such as "B01_hemi-L:1204"."""
    neighbours: int = Field(default=2, ge=1, le=20)
    """Nearest nodes to show in each other brain."""
    encoder: str | None = None
    """Encoder whose attention is shown: its name in this run, or its folder; by default the one called as the
    features."""
    gamma: PositiveFloat = 0.5
    """Exponent of attention (a share of its maximum) before it is laid over the patch: below 1 lifts weak attention."""


class InspectConfig(Config):
    """Everything `cytomesh inspect` can be told."""

    presets: ClassVar[str] = "inspect"
    features: str | None = None
    """Name of the features to look at: an encoder of the run, or what was imported; needed where there are several."""
    centred: bool = False
    """Subtract the mean of all nodes first: features of networks that end in a ReLU are similar to begin with (all
    positive), which hides how they differ."""
    lobes: dict[str, str] = Field(default={})
    """Lobe of an area, by name: areas of one lobe stand together in the similarity matrix, lobes in this order."""
    map: MapConfig = MapConfig()
    """The map of features."""
    folds: FoldsConfig = FoldsConfig()
    """Nodes that probes of brain and area are scored on, in turn: blocks of cortex or sections."""
    spins: int = Field(default=0, ge=0)
    """Random rotations of the areas on the sphere, for a null of their separation; 0 for none."""
    examples: ExamplesConfig = ExamplesConfig()
    """Nodes to look at one by one."""
    seed: Seed = 0
    """Of the nodes that are drawn, folds and rotations."""

    @field_validator("folds")
    @classmethod
    def _within_brains(cls, folds: FoldsConfig) -> FoldsConfig:
        if folds.kind not in ("block", "section"):
            raise ValueError("folds.kind: a probe that names the brain has to know every brain: block or section")
        return folds
