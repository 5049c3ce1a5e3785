"""Settings of `cytomesh build-graph`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cytomesh.core.config import Config, Seed
from cytomesh.surface.config import AlignmentConfig, SurfaceConfig


class LinkConfig(Config):
    """How nodes are linked to section images."""

    max_distance_mm: float | None = Field(default=None, gt=0)
    """Largest distance of a node to the plane of its section, mm; null: the brain's median section spacing, so that
    the two neighbours of a single missing section bridge it."""
    max_reach_mm: float | None = Field(default=None, gt=0)
    """Largest distance of a node to its link point, mm; null: twice max_distance_mm."""


class CutConfig(Config):
    """Where the tissue ends by a cut and not by cortex; stretches of rings are also named by the class `cut`."""

    ends: bool | None = None
    """Whether the first and the last section are cuts: true for a block, false for a hemisphere from pole to pole;
    null finds out for each end (a large section that neighbours hardly differ from is a cut)."""
    image_border: bool = True
    """Whether stretches of pial rings along the border of their image are cuts."""


class CheckConfig(Config):
    """Conditions under which build-graph fails."""

    require_euler: bool = True
    """Pial, white and midsurface must have Euler number 2 (a sphere, no handles); false: reported only."""
    min_linked: float = Field(default=0.8, ge=0, le=1)
    """Share of the nodes within reach of an image (max_distance_mm from the plane of a section with one) that must
    have a link."""
    max_self_intersections: int | None = Field(default=None, ge=0)
    """Pairs of crossing triangles that the pial and the white surface may each have; null: reported only, as for every
    limit that may be null."""
    max_changed_places: int | None = Field(default=None, ge=0)
    """Places at which topology correction may change the pial or the white object."""
    max_changed_share: float | None = Field(default=0.01, gt=0)
    """Share of the voxels of the pial or the white object that topology correction may fill or cut. Not counted are
    the pieces that are discarded as a whole and the sheets of voxels that open closed sulci (1 to 3 % of a human
    hemisphere)."""
    max_discarded_share: float | None = Field(default=0.01, gt=0)
    """Volume of the largest piece of the pial or the white object that hangs together with nothing else and is
    discarded, as a share of the whole: more is a part of the brain, not a speck."""
    max_contour_distance_mm: float | None = Field(default=None, gt=0)
    """Mean distance of a section's contour points from the surface built from them, in the worst section, mm."""
    max_volume_error: float | None = Field(default=0.03, gt=0)
    """Relative difference of the volume within pial or white from the contours' own (Cavalieri)."""
    max_area_error: float | None = Field(default=0.15, gt=0)
    """Relative difference of the pial or white area from the contours' own (Buffon). That estimate is itself good to
    some 10 %, for surfaces that do not face all directions equally: good ones of the phantom lie 2 to 10 % off it,
    those of ellipsoids 13 %. A limit of 3 %, as for the volume, would refuse them."""
    thickness_mm: tuple[float, float] | None = None
    """Lowest and highest acceptable median cortical thickness, mm."""
    max_link_residual_mm: float | None = Field(default=None, gt=0)
    """95th percentile of the distance from nodes to their link points, mm."""
    max_shift_mm: float | None = Field(default=None, gt=0)
    """Largest in-plane shift that alignment may give a section, mm."""
    max_rotation_deg: float | None = Field(default=None, gt=0)
    """Largest turn that alignment may give a section, degrees."""


class BuildGraphConfig(Config):
    """Settings of build-graph."""

    presets: ClassVar[str] = "build-graph"
    surface: SurfaceConfig = SurfaceConfig()
    """Reconstruction of the surfaces."""
    alignment: AlignmentConfig = AlignmentConfig()
    """Misalignment between neighbouring sections; where a study gives surfaces, sections stay where it puts them."""
    cuts: CutConfig = CutConfig()
    """Ends of the stack and stretches of rings that are no cortex."""
    links: LinkConfig = LinkConfig()
    """Image links."""
    checks: CheckConfig = CheckConfig()
    """Quality checks."""
    formats: tuple[Literal["freesurfer", "ply"], ...] = ()
    """Formats to write the surfaces in beside GIFTI: FreeSurfer geometry and measures (lh.pial, lh.thickness, ...),
    binary PLY."""
    on_bad_section: Literal["stop", "skip"] = "stop"
    """What to do with a section whose contours or image cannot be used: stop with its error, or leave it out and
    list it in qc.json; where only the rings of one hemisphere are at fault, the other one keeps the section."""
    seed: Seed = 0
    """Random seed; recorded with the output (nothing in this stage is random)."""
