"""SIGTERM (Slurm's pre-emption): noted instead of died from, and agreed on by all ranks."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
import torch.distributed as dist

from cytomesh.core.distributed import World

# Seconds after which ranks ask one another again, at the latest: Slurm gives them 30 by default.
VOTE_S = 5.0


class Stop:
    """Whether a training was told to stop.

    One process knows at once. Several ask one another, which waits for their devices, and so only every few steps: of
    as long as they take, some 5 s, at most `log_every`. All count the same steps.

    Parameters
    ----------
    world : World
    at_most : int
        Steps after which ranks ask.
    """

    def __init__(self, world: World, at_most: int) -> None:
        self.world = world
        self.at_most = at_most
        self._is_told = threading.Event()
        self._steps_left = 1
        self._steps = 1
        self._since = time.perf_counter()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGTERM meanwhile; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self._is_told.set()

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def is_wanted(self) -> bool:
        """Return whether this rank, or any rank that has been asked, was told to; to be called after each step."""
        if self.world.size == 1:
            return self._is_told.is_set()
        self._steps_left -= 1
        if self._steps_left:
            return False
        seconds = (time.perf_counter() - self._since) / self._steps
        votes = torch.tensor([float(self._is_told.is_set()), seconds], dtype=torch.float64, device=self.world.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        is_told, slowest = votes.tolist()
        self._steps = self._steps_left = min(self.at_most, max(1, int(VOTE_S / max(slowest, 1e-9))))
        self._since = time.perf_counter()
        return bool(is_told)
