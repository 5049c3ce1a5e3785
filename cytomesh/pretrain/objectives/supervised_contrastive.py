"""Supervised contrastive learning: patches are alike if an expert gave them the same area."""

from __future__ import annotations

from torch import Tensor

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.objectives.base import Contrastive


class SupervisedContrastive(Contrastive):
    """Contrastive objective that pulls patches of one annotated area together (Khosla et al., 2020, L_out).

    w_ij = 1 if both are annotated with the same area, or are views of one patch, 0 otherwise; see
    `weighted_info_nce` for the loss.

    Examples
    --------
    >>> import torch
    >>> criterion = SupervisedContrastive()
    >>> vectors = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    >>> bool(criterion(vectors, area=torch.tensor([3, 3, 0])) < 0.001)  # 0: not annotated
    True
    """

    needs = frozenset({"labels"})

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return w, (b, n)."""
        is_same_area = (batch.area[:, None] == others.area) & (batch.area[:, None] > 0)
        is_view = batch.node[:, None] == others.node
        return (is_same_area | is_view).to(batch.position.dtype)
