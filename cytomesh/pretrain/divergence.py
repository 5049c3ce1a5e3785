"""Losses and gradients that are not finite: noticed where they are computed, read when that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from cytomesh.core.errors import TrainingError

GRADIENT = "a gradient"


class Divergence:
    """The first step with numbers that are not finite, kept on the device: to look at each would stop the training.

    Parameters
    ----------
    names : sequence of str
        What the numbers are.
    device : torch.device
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self.names = list(names)
        self._first = torch.full((1 + len(names),), -1.0, dtype=torch.float64, device=device)  # the step, its numbers

    def see(self, step: int, numbers: Sequence[Tensor]) -> None:
        """Look at the numbers of a step, () tensors; the same on all ranks."""
        seen = torch.stack([number.detach().double() for number in numbers])
        is_first = (self._first[0] < 0) & ~seen.isfinite().all()
        self._first = torch.where(is_first, torch.cat([seen.new_full((1,), step), seen]), self._first)

    def check(self, folder: Path) -> None:
        """Raise TrainingError, on all ranks, if a number was not finite; waits for the device."""
        step, *numbers = self._first.tolist()
        if step < 0:
            return
        name, value = next((n, v) for n, v in zip(self.names, numbers, strict=True) if not abs(v) < torch.inf)
        hint = "lower schedule.learning_rate, or raise the temperature; the checkpoints hold the last good state"
        found = f"{name} that is {value}"
        raise TrainingError(folder, f"step {step:.0f}", found=found, expected="finite numbers", hint=hint)
