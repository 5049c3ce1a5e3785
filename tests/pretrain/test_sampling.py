"""Batches: deterministic, evenly over the cortex and the brains, with neighbours from other sections within reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial import Delaunay

from cytomesh.graph.geodesics import local_geodesics
from cytomesh.pretrain.config import SamplingConfig
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.sampling import PatchSampler
from cytomesh.surface.mesh import Mesh


def make_pool(position, area, section, brain, probability) -> PatchPool:
    n = len(position)
    none = np.zeros(n, np.int64)
    normal = np.tile([1.0, 0, 0], (n, 1))
    return PatchPool(position, normal, none > 0, none - 1, area, section, brain, none, none, probability, ())


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
    return make_pool(position, area, section, brain, empty)


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


def test_sections_are_drawn_as_often_as_each_other(pool):
    config = SamplingConfig(seeds_per_batch=40000, neighbours=0, section_balance=1.0)
    seeds = PatchSampler(pool, config, 0).draw(0)[:, 0]
    for brain in (0, 1):
        of_brain = np.flatnonzero(pool.brain == brain)
        sections, place = np.unique(pool.section[of_brain], return_inverse=True)
        drawn = seeds[pool.brain[seeds] == brain]
        counts = np.bincount(np.searchsorted(sections, pool.section[drawn]), minlength=len(sections))
        assert counts == pytest.approx(len(drawn) / len(sections), rel=0.1)
        largest = of_brain[place == np.bincount(place).argmax()]  # within a section, still by area
        share = np.bincount(drawn, minlength=len(pool))[largest] / counts[np.bincount(place).argmax()]
        expected = pool.area_mm2[largest] / pool.area_mm2[largest].sum()
        assert np.corrcoef(share, expected)[0, 1] > 0.8


def test_annotated_only(pool):
    pool.annotation[300:400] = 7
    config = SamplingConfig(seeds_per_batch=50, neighbours=2, radius_mm=8.0, annotated_only=True)
    batch = PatchSampler(pool, config, 0).draw(0)
    assert ((batch >= 300) & (batch < 400)).all()
    assert len(np.unique(batch[:, 0])) > 25


def test_lonely_seed_gets_stand_ins(pool):
    sampler = PatchSampler(pool, SamplingConfig(seeds_per_batch=4000, neighbours=1, radius_mm=3.0), 0)
    batch = sampler.draw(0)
    lonely = batch[batch[:, 0] == 1000]
    assert len(lonely)
    assert (lonely[:, 1] < 1001).all()


def test_pool_smaller_than_the_candidates():
    position = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    whole = np.arange(3)
    pool = make_pool(position, np.ones(3), whole, 0 * whole, sp.csr_matrix((3, 0)))
    batch = PatchSampler(pool, SamplingConfig(seeds_per_batch=8, neighbours=2, radius_mm=1.5), 0).draw(0)
    assert batch.shape == (8, 3)
    assert (abs(batch[:, 1:] - batch[:, :1]) == 1).all()


def test_neighbours_along_the_surface_stay_on_their_bank():
    """Two flat banks 1 mm apart: the nearest patches through space lie on the other bank, but not along the surface."""
    steps = np.arange(10.0)
    x, y, bank = (values.ravel() for values in np.meshgrid(steps, steps, [0, 1], indexing="ij"))
    position = np.stack([x, y, bank * 1.0], axis=1)
    n = len(position)
    pool = make_pool(position, np.ones(n), np.arange(n), 0 * np.arange(n), sp.csr_matrix((n, 0)))
    square = Delaunay(np.stack([x[bank == 0], y[bank == 0]], axis=1)).simplices
    where = [np.flatnonzero(bank == side) for side in (0, 1)]
    mesh = Mesh(position, np.concatenate([where[0][square], where[1][square]]))
    pool = replace(pool, vertex=np.arange(n))
    config = SamplingConfig(seeds_per_batch=200, neighbours=2, radius_mm=2.5, other_brain_share=0.0)
    straight = PatchSampler(pool, config, 0).draw(0)
    along = PatchSampler(pool, config, 0, local_geodesics(mesh, 3.0)).draw(0)
    assert (bank[straight[:, 1:]] != bank[straight[:, :1]]).any()
    assert (bank[along[:, 1:]] == bank[along[:, :1]]).all()
