"""Batches: deterministic, evenly over the cortex and the brains, with neighbours from other sections within reach."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.pretrain.config import SamplingConfig
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.sampling import PatchSampler


@pytest.fixture
def pool() -> PatchPool:
    """Two brains, one with four times the nodes of the other, in sections along x; one lonely node far away."""
    rng = np.random.default_rng(0)
    n = 1001
    position = rng.uniform(0, 20, (n, 3))
    position[-1] = 500.0
    brain = (np.arange(n) < 200).astype(np.int64)
    section = (position[:, 0] // 2).astype(np.int64) + 1000 * brain
    area = rng.uniform(0.1, 1.0, n)
    empty = sp.csr_matrix((n, 0), dtype=np.float32)
    return PatchPool(position, area, section, brain, np.zeros(n, np.int64), empty, ())


def test_batches_depend_on_seed_and_step_only(pool):
    config = SamplingConfig(seeds_per_batch=10, neighbours=2)
    first, second = PatchSampler(pool, config, 0), PatchSampler(pool, config, 0)
    for step in (0, 1, 2):
        first.draw(step)
    assert np.array_equal(first.draw(2), second.draw(2))
    assert not np.array_equal(first.draw(2), first.draw(3))
    assert not np.array_equal(first.draw(2), PatchSampler(pool, config, 1).draw(2))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_share_one_batch(pool, size):
    sampler = PatchSampler(pool, SamplingConfig(seeds_per_batch=10, neighbours=2), 0)
    rows = sampler.rank_rows(4, size)
    assert len(rows) == size
    assert np.array_equal(np.concatenate(rows), sampler.draw(4).ravel())
    assert all(len(part) % 3 == 0 for part in rows)


def test_neighbours_are_near_and_from_other_sections(pool):
    config = SamplingConfig(seeds_per_batch=500, neighbours=3, radius_mm=4.0)
    batch = PatchSampler(pool, config, 0).draw(0)
    batch = batch[batch[:, 0] != 1000]
    seeds, others = batch[:, :1], batch[:, 1:]
    distance = np.linalg.norm(pool.position[seeds] - pool.position[others], axis=2)
    assert (distance <= 4.0).mean() > 0.99  # a corner may be empty: then any patch stands in
    assert (pool.section[seeds] != pool.section[others])[distance <= 4.0].all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_share_of_other_brains(pool, share):
    config = SamplingConfig(seeds_per_batch=300, neighbours=2, radius_mm=8.0, other_brain_share=share)
    batch = PatchSampler(pool, config, 0).draw(0)
    is_other = pool.brain[batch[:, 1:]] != pool.brain[batch[:, :1]]
    assert abs(is_other.mean() - share) < 0.02


def test_seeds_follow_area_within_a_brain_and_brains_are_even(pool):
    config = SamplingConfig(seeds_per_batch=20000, neighbours=0)
    seeds = PatchSampler(pool, config, 0).draw(0)[:, 0]
    counts = np.bincount(seeds, minlength=len(pool))
    assert abs(pool.brain[seeds].mean() - 0.5) < 0.02
    big = pool.brain == 1
    expected = pool.area_mm2[big] / pool.area_mm2[big].sum() * counts[big].sum()
    assert abs((counts[big] - expected) / np.sqrt(expected)).mean() < 1.0  # Poisson: 0.8


def test_lonely_seed_gets_stand_ins(pool):
    sampler = PatchSampler(pool, SamplingConfig(seeds_per_batch=4000, neighbours=1, radius_mm=3.0), 0)
    batch = sampler.draw(0)
    lonely = batch[batch[:, 0] == 1000]
    assert len(lonely)
    assert (lonely[:, 1] < 1001).all()


def test_pool_smaller_than_the_candidates():
    position = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    whole = np.arange(3)
    pool = PatchPool(position, np.ones(3), whole, 0 * whole, 0 * whole, sp.csr_matrix((3, 0)), ())
    batch = PatchSampler(pool, SamplingConfig(seeds_per_batch=8, neighbours=2, radius_mm=1.5), 0).draw(0)
    assert batch.shape == (8, 3)
    assert (abs(batch[:, 1:] - batch[:, :1]) == 1).all()
