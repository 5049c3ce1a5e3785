"""Depth and pixels together are Bayes' rule where pixels know nothing of depth, and validation says how far they do."""

import numpy as np
import pytest

from cytomesh.analyze.layers.classes import IGNORE
from cytomesh.analyze.layers.order import order_layers
from cytomesh.analyze.layers.prior import choose_trust, with_depth

N, DEPTHS, LAYERS = 300, 24, 6


def prior():
    """Layers at each depth, (k, 6): overlapping bands."""
    centres = (np.arange(LAYERS) + 0.5) / LAYERS
    depth = (np.arange(DEPTHS) + 0.5) / DEPTHS
    weight = np.exp(-0.5 * ((depth[:, None] - centres) / 0.08) ** 2)
    return weight / weight.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_it_is_bayes_rule(balance):
    random = np.random.default_rng(0)
    at = prior()
    share = at.mean(axis=0)
    likelihood = random.uniform(0.05, 1.0, (N, DEPTHS, LAYERS))  # p(x | l) of what each pixel shows
    network = likelihood * share ** (1 - balance)
    network /= network.sum(axis=-1, keepdims=True)
    found = with_depth(network.astype(np.float32), at, balance, 1.0)
    expected = likelihood * at
    expected /= expected.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found / found.sum(axis=-1, keepdims=True), expected, atol=1e-4)


def columns(noise, seed=0):
    """Truth, and what a network says of it that sees layers through so much noise."""
    random = np.random.default_rng(seed)
    boundaries = np.sort(np.arange(1, LAYERS) / LAYERS + random.normal(0, 0.03, (N, LAYERS - 1)), axis=1)
    truth = ((np.arange(DEPTHS) + 0.5) / DEPTHS > boundaries[:, :, None]).sum(axis=1).astype(np.int32)
    score = np.eye(LAYERS)[truth] * 3 + random.normal(0, noise, (N, DEPTHS, LAYERS))
    found = np.exp(score)
    return (found / found.sum(axis=-1, keepdims=True)).astype(np.float32), truth


def test_validation_trusts_networks_that_see_and_not_those_that_do_not():
    seeing, truth = columns(0.5)
    blind, _ = columns(30.0)
    trusts = [choose_trust([(found, truth, order_layers)], prior(), 0.0) for found in (seeing, blind)]
    assert trusts[0] >= 1.0 > trusts[1]
    right = [(order_layers(with_depth(blind, prior(), 0.0, trust)) == truth).mean() for trust in (trusts[1], 8.0)]
    assert right[0] > right[1]


def test_without_validation_the_exponent_is_one():
    found, truth = columns(1.0)
    assert choose_trust([], prior(), 0.5) == 1.0
    unknown = np.full_like(truth, IGNORE)
    assert choose_trust([(found, unknown, order_layers)], prior(), 0.5) == 1.0
