from pydantic import PositiveFloat

from cytomesh.pretrain.objectives.base import Contrastive, ContrastiveConfig


class SameSideConfig(ContrastiveConfig):
    """Patches are alike if their x is."""

    width_mm: PositiveFloat = 5.0
    """Beyond it, nothing attracts."""


class SameSide(Contrastive):
    """w_ij = 1 if |x_i - x_j| is below the width."""

    Config = SameSideConfig

    def __init__(self, width_mm):
        super().__init__()
        self.width_mm = width_mm

    @classmethod
    def from_settings(cls, settings, moment):
        return cls(settings.width_mm)

    def weights(self, batch, others):
        return ((batch.position[:, None, 0] - others.position[:, 0]).abs() < self.width_mm).to(batch.position.dtype)
