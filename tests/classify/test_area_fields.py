import tracemalloc

import numpy as np
import pytest

from cytomesh.classify.area_fields import FALL_BACK, WIDTHS, AreaFields, at_places, smoothed
from cytomesh.register.spherical import icosphere

K = 3
EVERYBODY = np.ones(1, bool)


def nodes(n=4000, seed=0):
    places = np.random.default_rng(seed).normal(size=(n, 3))
    return (places / np.linalg.norm(places, axis=1, keepdims=True)).astype(np.float32)


def thirds(places):
    """Three areas like slices of an orange."""
    return (np.degrees(np.arctan2(places[:, 1], places[:, 0])) % 360 // 120).astype(np.int64)


def of_one(places, targets, sd_deg):
    brain, weights = np.zeros(len(places), np.int64), np.full(len(places), 1 / len(places))
    return next(AreaFields.of(places, targets, brain, weights, K, (sd_deg,)))


@pytest.mark.parametrize("sd_deg", WIDTHS)
def test_against_a_kernel_estimate_pair_by_pair(sd_deg):
    places = nodes(20000)
    targets = thirds(places)
    at = nodes(200, seed=1)
    angles = np.degrees(np.arccos(np.clip(at.astype(float) @ places.T.astype(float), -1, 1)))
    # nodes are laid onto the grid and values taken from it, each linear within triangles 1.1 degrees wide
    kernel = np.exp(-0.5 * angles**2 / (sd_deg**2 + 0.45))
    expected = kernel @ np.eye(K)[targets]
    expected /= expected.sum(axis=1, keepdims=True)
    found = at_places(of_one(places, targets, sd_deg).prior(EVERYBODY), at)
    assert np.abs(found - expected).max() < 0.12  # of which a twentieth is taken from the widest field
    assert np.abs(found - expected).mean() < 0.02


def test_few_widths_are_held_at_a_time():
    places = nodes()
    next(of_widths(places, (1.0,)))  # what is made once for all
    tracemalloc.start()
    best = max(of_widths(places, WIDTHS), key=lambda fields: -abs(fields.sd_deg - 3.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert best.sd_deg == 3.0
    assert peak < 5 * best.amounts.nbytes + 2**20  # the widest, the best, and the next with what it is made of


def of_widths(places, widths):
    brain, weights = np.zeros(len(places), np.int64), np.full(len(places), 1 / len(places))
    return AreaFields.of(places, thirds(places), brain, weights, 12, widths)


def test_smoothing_has_its_width():
    grid = icosphere(6).vertices
    field = np.zeros((len(grid), 1), np.float32)
    field[grid[:, 2].argmax()] = 1
    spread = smoothed(field, 3.0)[:, 0]
    angles = np.degrees(np.arccos(np.clip(grid[:, 2], -1, 1)))
    # a Gaussian in the plane: the mean square of the distance is twice the variance
    assert np.sqrt((spread * angles**2).sum() / spread.sum() / 2) == pytest.approx(3.0, rel=0.05)
    assert spread.sum() == pytest.approx(1, rel=0.01)


def test_no_area_is_impossible_and_distant_places_have_something():
    places = nodes()
    near = places[:, 2] > 0.5
    prior = of_one(places[near], thirds(places)[near], 1.0).prior(EVERYBODY)
    np.testing.assert_allclose(prior.sum(axis=1), 1, rtol=1e-5)
    assert prior.min() > 0
    far = icosphere(6).vertices[:, 2] < -0.5
    shares = np.bincount(thirds(places)[near], minlength=K) / near.sum()
    np.testing.assert_allclose(prior[far], np.broadcast_to(shares, (far.sum(), K)), rtol=1e-4)


def test_brains_count_for_themselves_and_by_the_share_that_is_labelled():
    places = nodes()
    brains = np.repeat([4, 7], len(places))
    twice = np.concatenate([places, places])
    targets = np.concatenate([np.zeros(len(places), np.int64), np.ones(len(places), np.int64)])
    weights = np.full(len(twice), 1 / len(places))
    weights[brains == 7] /= 3  # as if it were labelled in every third place
    fields = next(AreaFields.of(twice, targets, brains, weights, K, (2.0,)))
    both = fields.prior(np.ones(2, bool))
    np.testing.assert_allclose(both[:, 0], 0.75, atol=0.02)
    only = fields.prior(np.array([False, True]))
    # a brain labelled in every third place: the areas' shares (3 to 1) come in with their part of the two fall-backs
    expected = 1 - 0.75 * (FALL_BACK / (1 / 3 + FALL_BACK)) ** 2
    assert only[:, 1].mean() == pytest.approx(expected, abs=0.01)
