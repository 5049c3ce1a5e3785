"""SpatialNCE: patches are alike if they lie close together in the cortex."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.distance import Distance, Euclidean
from cytomesh.pretrain.objectives.base import Objective

Kernel = Literal["gaussian", "exponential", "radius", "inverse"]


class SpatialNCE(Objective):
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
    """

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
        self.distance = distance or Euclidean()
        self.sigma_mm = sigma_mm
        self.kernel = kernel
        self.reach_mm = 3.0 * sigma_mm if reach_mm is None else reach_mm
        self.same_section_weight = same_section_weight
        self.same_brain_weight = same_brain_weight

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return w, (b, n)."""
        distance = self.distance(batch, others)
        weights = self._kernel(distance).masked_fill_(distance > self.reach_mm, 0.0)
        if self.same_section_weight == 1.0 and self.same_brain_weight == 1.0:
            return weights
        is_section = batch.section[:, None] == others.section
        is_brain = (batch.brain[:, None] == others.brain) & ~is_section
        is_view = batch.node[:, None] == others.node
        weights[is_section & ~is_view] *= self.same_section_weight
        weights[is_brain] *= self.same_brain_weight
        return weights

    def _kernel(self, distance: Tensor) -> Tensor:
        scaled = distance / self.sigma_mm
        if self.kernel == "gaussian":
            return torch.exp(-0.5 * scaled.square())
        if self.kernel == "exponential":
            return torch.exp(-scaled)
        if self.kernel == "inverse":
            return 1.0 / (1.0 + scaled)
        return (scaled <= 1.0).to(distance.dtype)
