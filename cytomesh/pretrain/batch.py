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

    Examples
    --------
    >>> positions = torch.tensor([[0.0, 0, 0], [3, 0, 0]])  # mm
    >>> batch = PatchBatch.of(2, torch.device("cpu"), position=positions, section=torch.tensor([1, 2]))
    >>> len(batch), batch.area.tolist()
    (2, [0, 0])
    """

    node: Tensor
    position: Tensor
    normal: Tensor
    vertex: Tensor
    section: Tensor
    brain: Tensor
    area: Tensor
    probability: Tensor

    @classmethod
    def of(cls, n: int, device: torch.device, **known: Tensor) -> PatchBatch:
        """Make a batch of what is known of n patches; else each is a node of its own, of no section, brain or area."""
        floats = next((values for values in known.values() if values.is_floating_point()), torch.zeros(0))
        nowhere = torch.zeros(n, 3, dtype=floats.dtype, device=device)
        none = torch.zeros(n, dtype=torch.int64, device=device)
        rest = {
            "node": torch.arange(n, device=device),
            "position": nowhere,
            "normal": nowhere,
            "probability": nowhere[:, :0],
        }
        return cls(**{item.name: known.get(item.name, rest.get(item.name, none)) for item in fields(cls)})

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
