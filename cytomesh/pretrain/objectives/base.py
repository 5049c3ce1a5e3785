"""What an objective is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cytomesh.pretrain.batch import PatchBatch


class Objective(Protocol):
    """A rule that weighs pairs of patches; the loss is `weighted_info_nce` of these weights."""

    def weights(self, batch: PatchBatch, others: PatchBatch) -> Tensor:
        """Return the (b, n) non-negative weights of the patches of a batch to others."""
        ...
