"""Networks and profiles together: by Bayes' rule, and as far as validation columns say."""

import itertools

import numpy as np
import pytest

from cytomesh.analyze.layers.evidence import TRUSTS, choose_trust, with_profiles
from cytomesh.analyze.layers.order import order_layers


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_two_independent_witnesses_give_bayes_rule(balance):
    """Two noisy readings of the layer; what each tells alone, and what both tell, is counted out."""
    random = np.random.default_rng(0)
    prior = random.dirichlet(np.ones(6), size=4)  # p(l | d), depths equally frequent
    seen, profiled = random.dirichlet(np.ones(3), size=6), random.dirichlet(np.ones(5), size=6)  # p(x | l), p(y | l)
    share = prior.mean(axis=0)
    for d, x, y in itertools.product(range(4), range(3), range(5)):
        both = prior[d] * seen[:, x] * profiled[:, y]
        network = share**-balance * prior[d] * seen[:, x]
        profiles = prior[d] * profiled[:, y]
        rows = np.zeros((2, 1, 4, 6), np.float32) + 1 / 6
        rows[0, 0, d], rows[1, 0, d] = network / network.sum(), profiles / profiles.sum()
        found = with_profiles(rows[0], rows[1], prior, balance, 1.0)[0, d]
        np.testing.assert_allclose(found / found.sum(), both / both.sum(), rtol=2e-3, atol=1e-5)


def test_without_trust_profiles_decide():
    random = np.random.default_rng(1)
    found, profiles = random.dirichlet(np.ones(6), size=(2, 5, 8)).astype(np.float32)
    same = with_profiles(found, profiles, np.full((8, 6), 1 / 6), 0.5, 0.0)
    np.testing.assert_allclose(same / same.sum(axis=2, keepdims=True), profiles, rtol=1e-3)


def columns(error_of_network, error_of_profiles):
    random = np.random.default_rng(2)
    truth = np.sort(random.integers(0, 6, (60, 24)), axis=1).astype(np.int32)

    def noisy(error):
        logits = np.eye(6)[truth] + random.normal(0, error, (*truth.shape, 6))
        return (np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)).astype(np.float32)

    return [(noisy(error_of_network), noisy(error_of_profiles), truth, order_layers)]


def test_validation_trusts_the_better_witness():
    prior = np.full((24, 6), 1 / 6)
    assert choose_trust(columns(0.3, 3.0), prior, 0.0) == max(TRUSTS)
    assert choose_trust(columns(6.0, 0.3), prior, 0.0) == min(TRUSTS)
    assert choose_trust([], prior, 0.5) == 1.0
    unknown = [(found, profiles, np.full_like(truth, -1), order) for found, profiles, truth, order in columns(1.0, 1.0)]
    assert choose_trust(unknown, prior, 0.5) == 1.0
