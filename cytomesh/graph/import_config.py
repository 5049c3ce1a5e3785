"""The manifest of `graph import`: surfaces, values and labels of vertices that were made elsewhere."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from cytomesh.core.config import Config
from cytomesh.study.manifest import BrainRole, Hemisphere

NAME = "[A-Za-z0-9][A-Za-z0-9-]*"
"""Of a brain."""


class OwnHemisphere(Config):
    """One hemisphere. Paths are relative to the manifest; all files have the surface's vertices in its order.

    A file that says that it is of the other side, by its name or what is in it, is refused.
    """

    brain: str = Field(pattern=f"^{NAME}$")
    """Name of the brain, subject or template; letters, digits and hyphens."""
    hemisphere: Hemisphere
    """L or R."""
    role: BrainRole = "train"
    """train: labels are used; transfer, unseen: labels serve evaluation only."""
    midthickness: Path | None = None
    """The surface whose vertices become nodes; absent: half-way between pial and white."""
    pial: Path | None = None
    """Outer surface (optional)."""
    white: Path | None = None
    """Grey/white surface (optional)."""
    sphere: Path | None = None
    """Spherical surface (optional): spin nulls need it."""
    features: list[Path] = Field(min_length=1)
    """Values of vertices, side by side in this order; a column "vertex" of a table puts its rows in place."""
    labels: Path | None = None
    """Areas of vertices (optional)."""
    cortex: Path | None = None
    """One map that is above 0 in cortex (optional); nodes outside, as the medial wall, take no part."""
    columns: Path | None = None
    """Table of further node columns (optional), such as the block or section that a split goes by."""

    @model_validator(mode="after")
    def _has_surface(self) -> OwnHemisphere:
        if self.midthickness is None and (self.pial is None or self.white is None):
            raise ValueError("midthickness is missing: name it, or both pial and white")
        return self

    @property
    def name(self) -> str:
        """Name of the graph, `<brain>_hemi-<L|R>`."""
        return f"{self.brain}_hemi-{self.hemisphere}"


class OwnSurfaces(Config):
    """Hemispheres whose surfaces and features exist already."""

    name: str = Field(min_length=1)
    """Name of the data set."""
    features: str = "maps"
    """What the features are called in the run: `--features` or `--encoder` of later stages."""
    hemispheres: list[OwnHemisphere] = Field(min_length=1)
    """The hemispheres; their areas are matched by name, without the side before or after it (L_, lh., ctx-lh-, _L)."""

    @model_validator(mode="after")
    def _are_unique(self) -> OwnSurfaces:
        names = [hemisphere.name for hemisphere in self.hemispheres]
        doubles = sorted({name for name in names if names.count(name) > 1})
        if doubles:
            raise ValueError(f"hemispheres: {', '.join(doubles)} listed twice")
        return self
