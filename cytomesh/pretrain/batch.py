"""What an objective may know of the patches in a batch: everything but the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PatchBatch:
    """Where the patches of a batch come from.

    Parameters
    ----------
    node : (n,) int64
        Number of the node among all nodes of the run; two views of one patch share it.
    position, normal : (n, 3) float32 or float64
        Position in reference space, mm, and the unit normal of the cortex there.
    vertex : (n,) int64
        Nearest vertex of the reference midsurface; -1 where none is needed.
    section, brain : (n,) int64
        Number of the section and of the brain, unique over the run.
    area : (n,) int64
        Annotated area, 0 where there is none.
    probability : (n, n_areas) float32 or float64
        Area probabilities; no columns if the study has no probability maps.
    """

    node: Tensor
    position: Tensor
    normal: Tensor
    vertex: Tensor
    section: Tensor
    brain: Tensor
    area: Tensor
    probability: Tensor

    def __len__(self) -> int:
        return len(self.node)

    def __getitem__(self, rows: slice | Tensor) -> PatchBatch:
        return PatchBatch(*(getattr(self, item.name)[rows] for item in fields(self)))

    def to(self, device: torch.device) -> PatchBatch:
        """Return the batch on a device."""
        return PatchBatch(*(getattr(self, item.name).to(device, non_blocking=True) for item in fields(self)))


def concatenate(batches: Sequence[PatchBatch]) -> PatchBatch:
    """Join batches, in order."""
    return PatchBatch(*(torch.cat([getattr(batch, item.name) for batch in batches]) for item in fields(PatchBatch)))
