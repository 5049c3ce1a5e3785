"""Batches: deterministic, evenly over the cortex and the brains, with neighbours from other sections within reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial import Delaunay
from scipy.stats import kstest

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


def chances(pool: PatchPool, config: SamplingConfig, seed: int, distance: np.ndarray) -> np.ndarray:
    """Return how probable each patch is as neighbour of a seed, patch by patch, and all zero if none may be.

    In proportion to area x exp(-d^2 / 2 (radius / 2)^2); never of the seed's section; a share from other brains.
    """
    kinds = {True: np.zeros(len(pool)), False: np.zeros(len(pool))}
    for other in range(len(pool)):
        if distance[other] <= config.radius_mm and pool.section[other] != pool.section[seed]:
            weight = pool.area_mm2[other] * np.exp(-(distance[other] ** 2) / 2 / (config.radius_mm / 2) ** 2)
            kinds[bool(pool.brain[other] != pool.brain[seed])][other] = weight
    found = {kind: weight / weight.sum() for kind, weight in kinds.items() if weight.any()}
    if len(found) == 2:
        return config.other_brain_share * found[True] + (1 - config.other_brain_share) * found[False]
    return next(iter(found.values()), np.zeros(len(pool)))


def places_in_distribution(batch, pool, config, distances_from, seed=0) -> np.ndarray:
    """Return where in the cumulative distribution of its seed each neighbour lies by distance: evenly in 0 ... 1."""
    rng = np.random.default_rng(seed)
    places = []
    for row in batch:
        distance = distances_from(row[0])
        chance = chances(pool, config, row[0], distance)
        for other in row[1:]:
            assert chance[other] > 0
            nearer = chance[(distance < distance[other]) | ((distance == distance[other]) & (chance > 0))].sum()
            places.append(nearer - rng.random() * chance[distance == distance[other]].sum())
    return np.array(places)


@pytest.fixture(scope="module")
def ten_brains() -> PatchPool:
    """Ten brains whose patches lie so densely that thousands are within 6 mm of each other, in sections of 1 mm."""
    rng = np.random.default_rng(0)
    n = 12_000
    position = rng.uniform(0, 1, (n, 3)) * [20.0, 20.0, 3.0]
    brain = rng.integers(0, 10, n)
    section = position[:, 0].astype(np.int64) + 100 * brain
    return make_pool(position, rng.uniform(0.1, 1.0, n), section, brain, sp.csr_matrix((n, 0), dtype=np.float32))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_neighbours_of_many_brains_reach_the_radius(ten_brains, share):
    config = SamplingConfig(seeds_per_batch=150, neighbours=4, radius_mm=6.0, other_brain_share=share)
    batch = PatchSampler(ten_brains, config, 0).draw(0)

    def straight(seed):
        return np.linalg.norm(ten_brains.position - ten_brains.position[seed], axis=1)

    places = places_in_distribution(batch, ten_brains, config, straight)
    assert kstest(places, "uniform").pvalue > 0.01
    gaps = ten_brains.position[batch[:, :1]] - ten_brains.position[batch[:, 1:]]
    assert 5.7 < np.linalg.norm(gaps, axis=2).max() <= 6.0


def test_all_candidates_are_drawn_as_often_as_their_chance(pool):
    """A few seeds, drawn again and again: the set of neighbours is that of brute force, and so are the counts."""
    pool = replace(pool, annotation=(np.arange(1001) % 20 == 0).astype(np.int64))  # 51 patches to draw from
    config = SamplingConfig(seeds_per_batch=51 * 4000, neighbours=1, radius_mm=12.0, annotated_only=True)
    batch = PatchSampler(pool, config, 0).draw(0)
    for seed in np.flatnonzero(pool.annotation)[:-1]:
        distance = np.linalg.norm(pool.position - pool.position[seed], axis=1)
        chance = chances(pool, config, seed, np.where(pool.annotation > 0, distance, np.inf))
        counts = np.bincount(batch[batch[:, 0] == seed, 1], minlength=len(pool))
        assert set(np.flatnonzero(counts)) <= set(np.flatnonzero(chance))
        expected = chance * counts.sum()
        assert counts[expected > 20].all()
        is_common = expected > 5
        z = (counts - expected)[is_common] / np.sqrt(expected[is_common])
        assert (z**2).mean() < 3.0
        assert abs(z).max() < 5.0


def test_batches_depend_on_seed_and_step_only(pool):
    config = SamplingConfig(seeds_per_batch=10, neighbours=2, radius_mm=6.0)
    first, second = PatchSampler(pool, config, 0), PatchSampler(pool, config, 0)
    for step in (0, 1, 2):
        first.draw(step)
    assert np.array_equal(first.draw(2), second.draw(2))
    assert not np.array_equal(first.draw(2), first.draw(3))
    assert not np.array_equal(first.draw(2), PatchSampler(pool, config, 1).draw(2))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_share_one_batch(pool, size):
    sampler = PatchSampler(pool, SamplingConfig(seeds_per_batch=10, neighbours=2, radius_mm=6.0), 0)
    batch = sampler.draw(4)
    shares = sampler.shares(batch, size, by_section=False)
    assert len(shares) == size
    assert np.array_equal(np.concatenate(shares), np.arange(30))
    assert all(len(part) % 3 == 0 for part in shares)
    slabs = sampler.shares(batch, size, by_section=True)
    assert [len(part) for part in slabs] == [len(part) for part in shares]
    assert np.array_equal(np.sort(np.concatenate(slabs)), np.arange(30))
    assert all((np.diff(part) > 0).all() for part in slabs)


def test_ranks_keep_to_their_slab_of_sections(pool):
    """Over many batches nearly all patches of a rank come from a few sections; which, its room decides for the rest."""
    sampler = PatchSampler(pool, SamplingConfig(seeds_per_batch=200, neighbours=2, radius_mm=6.0), 0)
    n_sections, size = int(pool.section.max()) + 1, 4
    counts = np.zeros((size, n_sections))
    for step in range(10):
        batch = sampler.draw(step)
        for rank, share in enumerate(sampler.shares(batch, size, by_section=True)):
            counts[rank] += np.bincount(pool.section[batch.ravel()[share]], minlength=n_sections)
    assert counts.max(axis=0).sum() > 0.85 * counts.sum()
    assert (np.diff(counts @ np.arange(n_sections) / counts.sum(axis=1)) > 0).all()


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


def test_neighbours_along_a_surface_by_brute_force():
    """Two brains on a sheet folded in two: chances by the distances along it, which patches share by their vertex."""
    rng = np.random.default_rng(0)
    along, across = np.meshgrid(np.arange(0, 30, 1.0), np.arange(0, 8, 1.0), indexing="ij")
    along, across = along.ravel(), across.ravel()
    fold = np.stack([np.minimum(along, 30 - along), across, np.where(along > 15, 1.5, 0.0)], axis=1)
    flat = np.stack([along, across], axis=1)
    geodesics = local_geodesics(Mesh(fold, Delaunay(flat).simplices.astype(np.int64)), 5.0)
    n = 3000
    vertex = rng.integers(0, len(fold), n)
    brain = rng.integers(0, 2, n)
    position = fold[vertex] + rng.normal(0, 0.3, (n, 3))  # as far as registration is off
    section = across.astype(np.int64)[vertex] + 100 * brain
    pool = make_pool(position, rng.uniform(0.1, 1.0, n), section, brain, sp.csr_matrix((n, 0)))
    pool = replace(pool, vertex=vertex)
    config = SamplingConfig(seeds_per_batch=500, neighbours=2, radius_mm=5.0, other_brain_share=0.4)
    batch = PatchSampler(pool, config, 0, geodesics).draw(0)

    def along_surface(seed):
        straight = np.linalg.norm(pool.position - pool.position[seed], axis=1)
        distance = geodesics.between(np.full(n, vertex[seed]), vertex).astype(np.float64)
        return np.where(straight <= config.radius_mm, distance, np.inf)

    assert kstest(places_in_distribution(batch, pool, config, along_surface), "uniform").pvalue > 0.01


def test_the_other_brain_serves_where_nothing_of_the_wanted_kind_is_near():
    """One brain in two sections too far apart; a second brain beside one of them."""
    position = np.array([[0.0, 0, 0], [1, 0, 0], [50, 0, 0], [51, 0, 0], [0.5, 0, 0], [1.5, 0, 0]])
    section, brain = np.array([0, 0, 1, 1, 10, 10]), np.array([0, 0, 0, 0, 1, 1])
    pool = make_pool(position, np.ones(6), section, brain, sp.csr_matrix((6, 0)))
    config = SamplingConfig(seeds_per_batch=400, neighbours=2, radius_mm=6.0, other_brain_share=0.5)
    batch = PatchSampler(pool, config, 0).draw(0)
    for seed, expected in ((0, {4, 5}), (1, {4, 5}), (4, {0, 1}), (5, {0, 1}), (2, set(range(6)))):
        assert set(batch[batch[:, 0] == seed, 1:].ravel()) == expected  # 2: nothing is near, anything stands in
