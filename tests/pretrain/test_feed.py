"""What feeds the training: each rank its part of one batch, read ahead, and the wait for it."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from benchmarks.pretrain.synthetic import RandomPatches, random_pool
from cytomesh.core.distributed import World
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.feed import Feed, RankBatch
from cytomesh.pretrain.sampling import PatchSampler

SETTINGS = PretrainConfig.model_validate(
    {
        "patches": {"size_px": 8, "border_px": 0},
        "sampling": {"seeds_per_batch": 7, "neighbours": 2, "radius_mm": 12},
        "views": 2,
    }
)
POOL = random_pool()


class Numbers:
    """A source whose pixels tell the row."""

    def read(self, rows):
        return np.repeat(rows % 251, 64).reshape(-1, 1, 8, 8).astype(np.uint8)


def feed(rank: int, size: int, source, *, by_section: bool = True) -> Feed:
    sampler = PatchSampler(POOL, SETTINGS.sampling, 0)
    return Feed(SETTINGS, sampler, source, World(rank, size, torch.device("cpu")), by_section=by_section)


@pytest.mark.parametrize("by_section", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_ranks_together_have_the_batch_that_one_process_has(size, by_section):
    alone = feed(0, 1, Numbers()).read(5)
    ranks = [feed(rank, size, Numbers(), by_section=by_section).read(5) for rank in range(size)]
    assert torch.equal(alone.places, torch.arange(42))
    first = 0
    for rank, batch in enumerate(ranks):
        in_order = batch.everything[batch.places]
        for name in ("node", "position", "section", "brain", "area"):
            assert torch.equal(getattr(in_order, name), getattr(alone.everything, name))
        # its own patches are those that the batch says it has, in both views
        own = batch.everything.node[first : first + batch.sizes[rank]]
        assert torch.equal(batch.patches[:, 0, 0, 0].long().repeat(2), own % 251)
        assert all(len(draws.uniform) == len(batch.patches) for draws in batch.draws)
        first += batch.sizes[rank]
    assert first == 42


def test_waiting_for_data_is_counted():
    class Slow(RandomPatches):
        def read(self, rows):
            time.sleep(0.05)
            return super().read(rows)

    slow = feed(0, 1, Slow(8))
    assert len(list(slow.batches(0, 4))) == 4
    assert 0.1 < slow.take_waited() < 2.0
    assert slow.take_waited() == 0.0
    batches = slow.batches(0, 3)
    first = next(batches)
    assert isinstance(first, RankBatch)
    slow.take_waited()
    time.sleep(0.4)  # computing, while what follows is read
    next(batches)
    assert slow.take_waited() < 0.05
    batches.close()
