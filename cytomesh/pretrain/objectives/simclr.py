"""SimCLR: two views of one patch are alike, and nothing else is."""

from __future__ import annotations

from torch import Tensor

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.objectives.base import Contrastive


class SimCLR(Contrastive):
    """Contrastive objective that knows no positions: NT-Xent over two views a patch (Chen et al., 2020, eq. 1).

    w_ij = 1 for views of one patch, 0 otherwise; see `weighted_info_nce` for the loss. Needs two views a patch.

    Examples
    --------
    >>> import torch
    >>> criterion = SimCLR()
    >>> views = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    >>> bool(criterion(views, node=torch.tensor([0, 0, 1, 1])) < 0.001)
    True
    """

    needs = frozenset({"two views"})

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return w, (b, n)."""
        return (batch.node[:, None] == others.node).to(batch.position.dtype)
