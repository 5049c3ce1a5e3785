"""Settings of the analyses of features."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from cytomesh.analyze.folds import FoldsConfig
from cytomesh.core.config import Config, Seed, ascending


class VariationConfig(Config):
    """Everything `cytomesh variation` can be told."""

    presets: ClassVar[str] = "variation"
    features: list[str] = Field(default=[])
    """Names of features of the run, side by side: encoders, or what was imported; by default all there are."""
    targets: list[str] = Field(default=[])
    """Columns of nodes.parquet, or of what another analysis measured at nodes ("cells:density_per_mm3"), that are to be
    explained; by default reference coordinates, thickness, curvature, sulcal
    depth and obliqueness, as far as all graphs have them. `ref_x_mm` is positive away from the midline."""
    components: list[int] = Field(default=[1, 2, 4, 8, 16, 32, 64, 128, 256], min_length=1)
    """Numbers of principal components whose regressions are compared."""
    alpha: float = Field(default=0.0, ge=0)
    """Penalty of ridge regression on the scores of the components, as scikit-learn's; 0 is linear regression."""
    folds: FoldsConfig = FoldsConfig()
    """What is left out in turn."""
    spins: int = Field(default=0, ge=0)
    """Random rotations of the targets on the sphere, for a null; 0 for none."""
    seed: Seed = 0
    """Of folds and rotations."""

    @field_validator("components")
    @classmethod
    def _ascending(cls, components: list[int]) -> list[int]:
        return ascending(components, 1, "components")
