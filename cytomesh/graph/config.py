"""Settings of `cytomesh build-graph`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cytomesh.core.config import Config
from cytomesh.surface.config import SurfaceConfig


class LinkConfig(Config):
    """How nodes are linked to section images."""

    max_distance_mm: float | None = Field(default=None, gt=0)
    """Largest distance of a node to the plane of its section, mm; null: the brain's median section spacing, so that
    the two neighbours of a single missing section bridge it."""
    max_reach_mm: float | None = Field(default=None, gt=0)
    """Largest distance of a node to its link point, mm; null: twice max_distance_mm."""


class CheckConfig(Config):
    """Conditions under which build-graph fails."""

    require_euler: bool = True
    """Pial, white and midsurface must have Euler number 2 (a sphere, no handles); false: reported only."""
    min_linked: float = Field(default=0.8, ge=0, le=1)
    """Share of the nodes within reach of an image (max_distance_mm from the plane of a section with one) that must
    have a link."""


class BuildGraphConfig(Config):
    """Settings of build-graph."""

    surface: SurfaceConfig = SurfaceConfig()
    """Reconstruction of the surfaces."""
    links: LinkConfig = LinkConfig()
    """Image links."""
    checks: CheckConfig = CheckConfig()
    """Quality checks."""
    on_bad_section: Literal["stop", "skip"] = "stop"
    """What to do with a section whose contours or image cannot be used: stop with its error, or leave it out and
    list it in qc.json."""
    seed: int = 0
    """Random seed; recorded with the output (nothing in this stage is random)."""
