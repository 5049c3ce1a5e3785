"""Settings of the surface reconstruction."""

from __future__ import annotations

from pydantic import Field

from cytomesh.core.config import Config


class SurfaceConfig(Config):
    """How section contours become cortical surfaces.

    Examples
    --------
    >>> SurfaceConfig(voxel_mm=0.5).edge_length_mm is None  # left to the data: two voxels
    True
    """

    voxel_mm: float | None = Field(default=None, gt=0)
    """Edge length of the cubic voxels of the implicit volume, mm. Banks of a sulcus closer than this stay separate.
    null: half the spacing of the sections, at least two pixels, at most 0.5 mm, and no more than 20 million voxels;
    printed with the reason (see `cytomesh.surface.resolution`)."""

    edge_length_mm: float | None = Field(default=None, gt=0)
    """Mean edge length of the final triangles on the midsurface, mm; null: two voxels."""

    repair_mm: float = Field(default=1.0, ge=0)
    """Up to this far outside a contour, thin gaps may be bridged to mend a perforated or broken sheet, mm."""

    min_thickness_mm: float = Field(default=0.25, gt=0)
    """Least distance kept between white and pial where the contours leave less, mm."""

    tolerance: float = Field(default=1e-5, gt=0, lt=1)
    """Relative residual at which the solution of Laplace's equation is accepted."""


class AlignmentConfig(Config):
    """How residual misalignment between neighbouring sections is removed."""

    enabled: bool = False
    """Move each section within its plane so that its contours follow its neighbours; off: sections stay as declared."""

    step_mm: float = Field(default=1.0, gt=0)
    """Distance of the points along the contours that are compared, mm."""
