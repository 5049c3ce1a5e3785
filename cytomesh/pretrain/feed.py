"""What feeds the training: batches read, and copied to the device, while the steps before them are computed."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cytomesh.core.distributed import World
from cytomesh.core.parallel import map_ahead
from cytomesh.core.random import derived_seed
from cytomesh.imaging.augment import Augmentation, Draws
from cytomesh.pretrain.batch import PatchBatch, concatenate
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.patches import PatchSource
from cytomesh.pretrain.sampling import PatchSampler


@dataclass(frozen=True, slots=True)
class RankBatch:
    """One step's data of one rank.

    Parameters
    ----------
    patches : (b, c, s, s) uint8 tensor
        This rank's patches, with their border.
    draws : tuple of Draws
        How each view of them is changed.
    everything : PatchBatch
        What is known of the images of every rank, one rank's after the other's, all of a rank's views together.
    sizes : tuple of int
        Images of each rank.
    places : (n,) int64 tensor
        Where the images stand in `everything`, by the order in which they were drawn, whoever has them.
    """

    patches: Tensor
    draws: tuple[Draws, ...]
    everything: PatchBatch
    sizes: tuple[int, ...]
    places: Tensor

    def to(self, device: torch.device) -> RankBatch:
        """Return the batch on a device."""
        return replace(
            self,
            patches=self.patches.to(device, non_blocking=True),
            draws=tuple(draws.to(device) for draws in self.draws),
            everything=self.everything.to(device),
            places=self.places.to(device, non_blocking=True),
        )


class Feed:
    """Batches of one rank, ahead of time.

    Readers cut patches from images. For a GPU, one more thread copies what they have read: on a stream of its own, so
    that neither the copies nor the wait for them (memory that is not pinned is copied while the caller waits) stop the
    thread that trains.

    Parameters
    ----------
    settings : PretrainConfig
    sampler : PatchSampler
    source : PatchSource
    world : World
    by_section : bool
        See `PatchSampler.shares`.
    """

    def __init__(
        self, settings: PretrainConfig, sampler: PatchSampler, source: PatchSource, world: World, *, by_section: bool
    ) -> None:
        self.settings = settings
        self.sampler = sampler
        self.source = source
        self.world = world
        self.by_section = by_section
        self.augment = Augmentation(settings.augment)
        self._waited = 0.0

    def read(self, step: int) -> RankBatch:
        """Return the data of a step, in the memory of the processor."""
        settings, rank, pool = self.settings, self.world.rank, self.sampler.pool
        rows = self.sampler.draw(step)
        shares = self.sampler.shares(rows, self.world.size, by_section=self.by_section)
        rows = rows.ravel()
        patches = torch.from_numpy(self.source.read(rows[shares[rank]]))
        draw = torch.Generator().manual_seed(step_seed(settings.seed, step, rank))
        draws = tuple(self.augment.draw(len(patches), draw) for _ in range(settings.views))
        views = [view * len(rows) + share for share in shares for view in range(settings.views)]
        everything = concatenate([pool.batch(rows[share]) for share in shares for _ in range(settings.views)])
        places = torch.from_numpy(np.argsort(np.concatenate(views)))
        return RankBatch(patches, draws, everything, tuple(settings.views * len(share) for share in shares), places)

    def batches(self, first: int, stop: int) -> Generator[RankBatch, None, None]:
        """Yield the data of steps, on the device; the time that this takes its caller is counted."""
        with closing(self._ready(first, stop)) as ready:
            while True:
                began = time.perf_counter()
                batch = next(ready, None)
                self._waited += time.perf_counter() - began
                if batch is None:
                    return
                yield batch

    def take_waited(self) -> float:
        """Return the seconds that were waited for data since this was asked last."""
        waited, self._waited = self._waited, 0.0
        return waited

    def _ready(self, first: int, stop: int) -> Generator[RankBatch, None, None]:
        device = self.world.device
        with closing(map_ahead(self.read, range(first, stop), self.settings.readers)) as read:
            yield from read if device.type == "cpu" else copied_ahead(read, device)


def copied_ahead(batches: Iterator[RankBatch], device: torch.device) -> Generator[RankBatch, None, None]:
    """Yield batches on a GPU, each copied by another thread and stream while those before it are computed with."""
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copy(batch: RankBatch) -> tuple[RankBatch, torch.cuda.Event]:
        with torch.cuda.stream(side):
            there = batch.to(device)
            return there, side.record_event()

    with closing(map_ahead(copy, batches, 1)) as copies:
        for batch, is_there in copies:
            # the device waits, not this thread; nothing of the batch is overwritten while it is computed with
            torch.cuda.current_stream(device).wait_event(is_there)
            for tensor in tensors_of(batch):
                tensor.record_stream(torch.cuda.current_stream(device))
            yield batch


def tensors_of(batch: RankBatch) -> list[Tensor]:
    """Return all tensors of a batch."""
    known = [getattr(batch.everything, name) for name in PatchBatch.__dataclass_fields__]
    return [batch.patches, batch.places, *(draws.uniform for draws in batch.draws), *known]


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of what chance does in a step, beside drawing its batch."""
    return derived_seed(seed, "step", step, rank)
