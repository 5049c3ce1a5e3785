import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cytomesh.classify.discriminant import WITHIN_SD, Discriminant


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    targets = random.integers(0, 4, 300)
    mixing = random.normal(size=(6, 6))
    inputs = (3 * np.eye(4, 6)[targets] + random.normal(size=(300, 6))) @ mixing
    return inputs.astype(np.float32), targets


def test_votes_like_scikit_learn(problem):
    inputs, targets = problem
    ours = Discriminant.fit(inputs, targets, 4, shrinkage=0.0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(4, 0.25)).fit(inputs, targets)
    log = ours.log_probabilities(ours.variates(inputs))
    np.testing.assert_allclose(np.exp(log), theirs.predict_proba(inputs), atol=2e-3)


def test_variates_are_white_within_classes(problem):
    inputs, targets = problem
    variates = Discriminant.fit(inputs, targets, 4, shrinkage=0.0).variates(inputs)
    assert variates.shape == (300, 3)
    within = np.mean([np.cov(variates[targets == c].T, bias=True) for c in range(4)], axis=0)
    np.testing.assert_allclose(within, WITHIN_SD**2 * np.eye(3), atol=1e-4)


def test_more_classes_than_inputs(problem):
    inputs, targets = problem
    assert Discriminant.fit(inputs[:, :2], targets, 4, 0.1).variates(inputs[:, :2]).shape == (300, 2)
