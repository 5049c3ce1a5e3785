"""Settings of the measures of cells, and of the built-in segmenter."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from cytomesh.analyze.layers.config import TruthConfig
from cytomesh.core.config import Config, Size
from cytomesh.study.pixels import PixelSettings

N_BOUNDARIES = 5
SECTION_UM = (0.1, 1000.0)
SHRINKAGE = (0.1, 3.0)
"""What thickness and shrinkage of sections can be; others are in another unit, or per cent."""


class TablesConfig(Config):
    """Where the cells of each section are, and what their coordinates mean."""

    files: str = Field(default="cells/{brain}_{section:04d}.parquet", min_length=1)
    """Path of a section's table, from the study's folder; the end of its name says the format. A path without
    `{section}` is one table of all sections, with a column `section`. Sections without a file are left out."""
    um_per_px: float | None = Field(default=None, gt=0)
    """Pixel size of the image that was segmented, um; needed where the file does not say it."""
    offset_px: tuple[float, float] = (0.0, 0.0)
    """Column and row at which the segmented image begins within the section's, in pixels of the segmented one: that of
    a patch."""
    field: Literal["image", "cells"] = "image"
    """What was searched for cells: `image`, all of the section; `cells`, no more than their convex hull (a patch)."""

    @field_validator("files")
    @classmethod
    def _known_places(cls, files: str) -> str:
        try:
            files.format(brain="B01", section=12)
        except (LookupError, ValueError) as cause:
            raise ValueError("only {brain} and {section} (a number, as {section:04d}) are filled in") from cause
        return files

    @property
    def is_per_section(self) -> bool:
        """Whether each section has a file of its own."""
        return self.files.format(brain="B01", section=1) != self.files.format(brain="B01", section=2)


class LayersConfig(Config):
    """How cells and cortex are told apart by layers."""

    source: Literal["none", "depths", "analysis", "table", "masks"] = "none"
    """`depths`: fixed relative depths; `analysis`: thickness of each layer at each node, as another analysis measured
    it; `table`: the column `layer` of the tables (1 to 6 or I to VI; the cortex around a cell is of its layer);
    `masks`: layers as drawn in the sections, or as `cytomesh segment-layers` drew them."""
    depths: list[float] = Field(default=[])
    """The five boundaries I/II to V/VI, 0 pial to 1 white."""
    analysis: str = "layers"
    """Name of the analysis whose columns `layer_I_share` or `layer_I_mm` to VI are read."""
    truth: TruthConfig = TruthConfig()
    """Of `masks`: the label images or contours, as `cytomesh segment-layers` reads them."""

    @model_validator(mode="after")
    def _boundaries(self) -> LayersConfig:
        if (self.source == "depths") != bool(self.depths):
            raise ValueError("depths and source: depths belong together")
        inner = [0.0, *self.depths, 1.0]
        if self.depths and (len(self.depths) != N_BOUNDARIES or inner != sorted(set(inner))):
            raise ValueError(f"depths must be {N_BOUNDARIES} ascending numbers between 0 and 1")
        return self


class VolumeConfig(Config):
    """What turns counts in a section into counts in tissue."""

    section_um: float | None = Field(default=None, ge=SECTION_UM[0], le=SECTION_UM[1])
    """Thickness of the sections as cut, um; by default what the images' sidecars say (SliceThickness). Without it
    there are counts per area only."""
    overcount: Literal["none", "abercrombie"] = "none"
    """Whether cells that a section has cut through are discounted."""
    linear_shrinkage: float | None = Field(default=None, ge=SHRINKAGE[0], le=SHRINKAGE[1])
    """Length in living tissue over length in the section, the same in all directions: 1.245 for BigBrain, below 1 where
    tissue has swollen; by default what the sidecars say (100 / TissueDeformationScaling), or 1."""


class CellsConfig(Config):
    """Everything `cytomesh cells` can be told."""

    presets: ClassVar[str] = "cells"
    tables: TablesConfig = TablesConfig()
    """Tables of cells."""
    layers: LayersConfig = LayersConfig()
    """Layers."""
    volume: VolumeConfig = VolumeConfig()
    """From sections to tissue."""
    radius_mm: float = Field(default=0.5, gt=0, le=1.0)
    """A node's column of cortex: all of its section's cortex, pial to white, whose place on the midsurface is so near
    to the node's image link. Opposite banks are further apart than the largest that is allowed."""
    grid_um: float = Field(default=50.0, gt=0)
    """Step of the grid of points by which the area of cortex is counted."""
    depth: Literal["equivolumetric", "linear"] = "equivolumetric"
    """Which depth fixed boundaries and the profile are of."""
    depth_bins: int = Field(default=20, ge=2, le=200)
    """Bins of the profile over depth."""

    @model_validator(mode="after")
    def _fine_enough(self) -> CellsConfig:
        if self.grid_um > 1e3 * self.radius_mm:
            raise ValueError("grid_um must be less than radius_mm: a column of cortex holds several points")
        return self


class SegmentConfig(Config):
    """Everything `cytomesh cells-segment` can be told."""

    um_per_px: float | None = Field(default=None, gt=0)
    """Pixel size of the image, um; needed where the file does not say it."""
    image: PixelSettings = PixelSettings()
    """Channels and window, as in a manifest: dark cells on a bright ground are looked for."""
    diameter_um: tuple[float, float] = (5.0, 40.0)
    """Equivalent diameters of the smallest and the largest cell."""
    smoothing_um: float = Field(default=1.0, ge=0)
    """Standard deviation of the Gaussian that takes off noise."""
    contrast_grey: float = Field(default=20.0, gt=0, lt=255)
    """A cell is so much darker than the tissue around it, grey levels."""
    tile_px: Size = 2048
    """Side of a tile; it changes memory and time, not the cells."""

    @field_validator("diameter_um")
    @classmethod
    def _rising(cls, diameters: tuple[float, float]) -> tuple[float, float]:
        if not 0 < diameters[0] < diameters[1]:
            raise ValueError("the smallest first, then the largest")
        return diameters
