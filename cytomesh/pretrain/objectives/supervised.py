"""Supervised learning: a linear head names the annotated area; the baseline that needs labels."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.objectives.base import Moment, Objective, ObjectiveConfig

NONE = -100


class Supervised(Objective):
    """Cross-entropy of a linear classifier on annotated patches.

    L = - 1 / n sum_i log softmax(logits_i)[area_i], over the n annotated patches of the batch; patches without
    annotation take no part.

    Parameters
    ----------
    areas : (c,) int64
        Label of each logit, ascending.
    """

    needs = frozenset({"labels"})

    def __init__(self, areas: Tensor) -> None:
        super().__init__()
        self.areas = areas

    @classmethod
    def from_settings(cls, settings: ObjectiveConfig, moment: Moment) -> Self:  # noqa: ARG003
        """Make the objective for the areas that occur."""
        return cls(moment.areas)

    def total(self, logits: Tensor, batch: PatchBatch) -> tuple[Tensor, Tensor]:
        """Return the sum of the cross-entropies, and the number of annotated patches, of (b, c) logits."""
        is_annotated = batch.area > 0
        # left out by their target: to list those that are annotated would wait for the device
        target = torch.searchsorted(self.areas.to(batch.area.device), batch.area).masked_fill(~is_annotated, NONE)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(wide, target, ignore_index=NONE, reduction="sum"), is_annotated.sum()
