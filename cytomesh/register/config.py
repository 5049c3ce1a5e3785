"""Settings of `cytomesh register`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cytomesh.core.config import Config
from cytomesh.core.distributed import Device


class Driver(Config):
    """What else than folding brings spheres together, in a second step."""

    name: str
    """A column of `nodes.parquet`, or `features:<encoder>`."""
    weight: float = Field(default=1.0, gt=0)
    """Against folding, which has 1; of a driver's components together."""
    components: int = Field(default=5, ge=1)
    """Of features: principal components that count."""


class LimitsConfig(Config):
    """Beyond these the stage fails."""

    area_log2: float = Field(default=1.0, gt=0)
    """Mean |log2| of the ratio of areas before and after registration: 1 stands for twice or half."""
    folding_correlation: float = Field(default=0.3, ge=-1, le=1)
    """Of the depth of folds (the finest scale but one) with the template's, at least."""


class RegisterConfig(Config):
    """Everything `cytomesh register` can be told."""

    presets: ClassVar[str] = "register"
    template: Literal["fsaverage", "study"] = "fsaverage"
    """`fsaverage`: FreeSurfer's human template, each hemisphere on that of its side; `study`: the mean of the study's
    own hemispheres, right ones mirrored, for any species. A hemisphere given as one of the other side is noticed by its
    folds; with `study` not if all are."""
    spheres: Literal["given", "made"] = "given"
    """Spheres of the study where there are some, or `made` for all."""
    stiffness: float = Field(default=2.0, gt=0)
    """SD by which displacements are smoothed, in spacings of the grid: more is smoother, less follows folds further."""
    drivers: list[Driver] = Field(default_factory=list)
    """What else drives the registration, after folding; with `template: study` only."""
    limits: LimitsConfig = LimitsConfig()
    """When to fail."""
    device: Device = "cpu"
    """Where spheres are made."""
