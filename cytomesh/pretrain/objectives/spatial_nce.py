"""SpatialNCE: patches are alike if they lie close together in the cortex."""

from __future__ import annotations

from typing import ClassVar, Literal, Self, get_args

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.distance import Distance, Euclidean, Geodesic
from cytomesh.pretrain.objectives.base import Contrastive, ContrastiveConfig, Moment, ObjectiveConfig

Kernel = Literal["gaussian", "exponential", "radius", "inverse"]


class SpatialNCEConfig(ContrastiveConfig):
    """Patches are alike if they lie close together in the cortex."""

    distance: Literal["euclidean", "geodesic"] = "euclidean"
    """Straight through the reference space, or along the midsurface of its template (the study's `space.template`)."""
    registration: str | None = None
    """Geodesic: brains correspond by what `cytomesh register` made under this name, and distances are those along the
    mean of their midsurfaces; None: each patch stands for the nearest place of the template."""
    mirrored: bool = False
    """Compare hemispheres: right ones are mirrored (x -> -x in reference space) onto the left template."""
    normal_factor: PositiveFloat = 1.0
    """Euclidean: how much more distance along the cortical normal counts than distance within the cortex."""
    sigma_mm: float = Field(default=0.0, ge=0)
    """Width of the kernel, mm; 0: 1.2 times the thickness of the cortex, no less than the spacing of the sections."""
    sigma_end_mm: PositiveFloat | None = None
    """Width at the last step, if another: it changes by the same factor from step to step."""
    kernel: Kernel = "gaussian"
    """Shape of the kernel: gaussian, exponential, radius or inverse."""
    reach_mm: float = Field(default=0.0, ge=0)
    """Distance beyond which nothing attracts, mm; 0: three times `sigma_mm`."""
    same_section_weight: float = Field(default=1.0, ge=0, le=1)
    """Factor of pairs from one section: low values keep staining from being the shortcut."""
    same_brain_weight: float = Field(default=1.0, ge=0, le=1)
    """Factor of pairs from different sections of one brain."""

    @model_validator(mode="after")
    def _agrees(self) -> SpatialNCEConfig:
        if self.distance == "geodesic" and self.normal_factor != 1.0:
            raise ValueError("normal_factor has no meaning for distances along the surface")
        if self.distance == "euclidean" and self.registration is not None:
            raise ValueError("registration: brains correspond along the surface; set distance: geodesic")
        return self


class SpatialNCE(Contrastive):
    """Contrastive objective that pulls patches together by their distance in the cortex.

    w_ij = k(d_ij) within the reach, 0 beyond, times `same_section_weight` for pairs from one section and
    `same_brain_weight` for other pairs from one brain; see `weighted_info_nce` for the loss. The Gaussian kernel is
    that of y-aware InfoNCE (Dufumier et al., 2021). Staining and cutting are shared within a section (and a brain):
    low weights there keep them from being the shortcut. Two views of one patch have distance 0 and full weight.

    Parameters
    ----------
    sigma_mm : float
        Width of the kernel: gaussian exp(-d^2 / 2 sigma^2), exponential exp(-d / sigma), inverse 1 / (1 + d / sigma),
        radius 1 up to sigma.
    kernel : {"gaussian", "exponential", "radius", "inverse"}
    distance : Distance, optional
        Euclidean in reference space (the default), or geodesic on the reference midsurface.
    reach_mm : float, optional
        Distance beyond which nothing attracts; by default 3 sigma. Weights are normalised by anchor: without an end,
        a patch with no close partner would be pulled with full strength to far ones.
    same_section_weight, same_brain_weight : float
        Factors, 0 to 1.

    Raises
    ------
    ConfigError
        If a setting means nothing.

    Examples
    --------
    >>> import torch
    >>> criterion = SpatialNCE(sigma_mm=3.0)
    >>> vectors = torch.eye(4, requires_grad=True)  # of an encoder, one per patch
    >>> position = torch.tensor([[0.0, 0, 0], [1, 0, 0], [40, 0, 0], [41, 0, 0]])  # mm
    >>> loss = criterion(vectors, position=position)
    >>> loss.backward()
    >>> round(float(loss.detach()), 3)  # all are unlike: the logarithm of the three others
    1.099
    >>> near = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    >>> float(criterion(near, position=position)) < 0.001
    True
    """

    Config: ClassVar[type[ObjectiveConfig]] = SpatialNCEConfig

    def __init__(
        self,
        sigma_mm: float,
        kernel: Kernel = "gaussian",
        *,
        distance: Distance | None = None,
        reach_mm: float | None = None,
        same_section_weight: float = 1.0,
        same_brain_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if kernel not in get_args(Kernel):
            raise ConfigError("SpatialNCE", "kernel", found=repr(kernel), expected=" or ".join(get_args(Kernel)))
        if not sigma_mm > 0 or not (reach_mm is None or reach_mm > 0):
            found = f"sigma_mm {sigma_mm}, reach_mm {reach_mm}"
            raise ConfigError("SpatialNCE", found=found, expected="positive lengths")
        if not (0 <= same_section_weight <= 1 and 0 <= same_brain_weight <= 1):
            found = f"same_section_weight {same_section_weight}, same_brain_weight {same_brain_weight}"
            raise ConfigError("SpatialNCE", found=found, expected="factors from 0 to 1")
        self.distance = distance or Euclidean()
        self.sigma_mm = sigma_mm
        self.kernel = kernel
        self.reach_mm = 3.0 * sigma_mm if reach_mm is None else reach_mm
        self.same_section_weight = same_section_weight
        self.same_brain_weight = same_brain_weight

    def extra_repr(self) -> str:
        """Return what `print` shows of it."""
        return f"sigma_mm={self.sigma_mm}, kernel={self.kernel!r}, reach_mm={self.reach_mm}"

    @classmethod
    def from_settings(cls, settings: SpatialNCEConfig, moment: Moment) -> Self:
        """Make the objective for a moment of training: the kernel's width may change."""
        return cls(
            sigma_mm(settings, moment.progress),
            settings.kernel,
            distance=moment.geodesic or Euclidean(settings.normal_factor),
            reach_mm=settings.reach_mm,
            same_section_weight=settings.same_section_weight,
            same_brain_weight=settings.same_brain_weight,
        )

    @property
    def reads(self) -> frozenset[str]:
        """What it has to be told; which patches share a section or brain only where that matters."""
        reads = {"vertex"} if isinstance(self.distance, Geodesic) else set()
        if isinstance(self.distance, Euclidean):
            reads = {"position"} if self.distance.normal_factor == 1.0 else {"position", "normal"}
        reads |= {"section"} if min(self.same_section_weight, self.same_brain_weight) < 1.0 else set()
        return frozenset(reads | ({"brain"} if self.same_brain_weight < 1.0 else set()))

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return w, (b, n)."""
        distance = self.distance(batch, others)
        weights = self._kernel(distance).masked_fill_(distance > self.reach_mm, 0.0)
        if self.same_section_weight == 1.0 and self.same_brain_weight == 1.0:
            return weights
        is_section = batch.section[:, None] == others.section
        is_brain = (batch.brain[:, None] == others.brain) & ~is_section
        is_view = batch.node[:, None] == others.node
        # by masks in place: to list what they choose would wait for the device
        weights = torch.where(is_section & ~is_view, weights * self.same_section_weight, weights)
        return torch.where(is_brain, weights * self.same_brain_weight, weights)

    def _kernel(self, distance: Tensor) -> Tensor:
        scaled = distance / self.sigma_mm
        if self.kernel == "gaussian":
            return torch.exp(-0.5 * scaled.square())
        if self.kernel == "exponential":
            return torch.exp(-scaled)
        if self.kernel == "inverse":
            return 1.0 / (1.0 + scaled)
        return (scaled <= 1.0).to(distance.dtype)


def sigma_mm(config: SpatialNCEConfig, progress: float) -> float:
    """Return the kernel's width: from `sigma_mm` to `sigma_end_mm`, geometrically."""
    if config.sigma_end_mm is None:
        return config.sigma_mm
    return float(config.sigma_mm * (config.sigma_end_mm / config.sigma_mm) ** progress)
