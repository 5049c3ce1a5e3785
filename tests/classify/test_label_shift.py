import numpy as np

from cytomesh.classify.label_shift import match_proportions


def test_shares_are_met_and_odds_change_by_class_only():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), 500).astype(np.float32)
    shares = np.array([0.1, 0.2, 0.3, 0.4])
    rows = np.arange(500) < 400
    matched = match_proportions(probabilities, shares, rows)
    np.testing.assert_allclose(matched[rows].mean(axis=0), shares, atol=1e-4)
    np.testing.assert_allclose(matched.sum(axis=1), 1, rtol=1e-5)
    # p_ia / p_ib times a factor that is the same at all nodes, those outside the rows among them
    factor = (matched[:, 0] / matched[:, 1]) / (probabilities[:, 0] / probabilities[:, 1])
    np.testing.assert_allclose(factor, factor[0], rtol=1e-3)


def test_nothing_changes_where_shares_hold_already():
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    matched = match_proportions(probabilities, np.array([0.5, 0.5]), np.ones(2, bool))
    np.testing.assert_allclose(matched, probabilities, atol=1e-6)


def test_a_class_that_is_never_preferred_gets_its_share():
    probabilities = np.stack([np.full(100, 0.98), np.linspace(0.001, 0.02, 100)], axis=1).astype(np.float32)
    matched = match_proportions(probabilities, np.array([0.75, 0.25]), np.ones(100, bool))
    assert abs(matched[:, 1].mean() - 0.25) < 0.01
    assert matched[-1, 1] > matched[0, 1]
