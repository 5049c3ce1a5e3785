"""Another package's classifier: what it returns is looked at, and what goes wrong names it."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.naive_bayes import GaussianNB

from cytomesh.classify.classifier import EstimatorClassifier, Guarded
from cytomesh.classify.nodes import NodeData
from cytomesh.core.errors import PluginError

random = np.random.default_rng(0)
TARGETS = np.repeat([0, 1, 2], 20)
DATA = NodeData(
    (random.normal(size=(60, 4)) + 3 * TARGETS[:, None]).astype(np.float32),
    TARGETS,
    np.full(60, "train"),
    sp.csr_matrix((60, 60)),
    np.array([60]),
    np.array([3, 5, 9], np.int32),
    np.zeros((60, 3), np.float32),
)


class NaiveBayes(EstimatorClassifier):
    """As in CONTRIBUTING."""

    learnt = ("theta_", "var_", "class_prior_")

    def make(self, _seed):
        return GaussianNB()


class Partial(NaiveBayes):
    """Never sees the second class."""

    def fit(self, data, seed):
        self.estimator = self.make(seed)
        rows = data.targets != 1
        self.estimator.fit(data.inputs[rows], data.targets[rows])
        return []


def test_an_estimator_that_saw_no_node_of_a_class_does_not_shift_the_others():
    model = Guarded(Partial(None), "partial")
    model.fit(DATA, 0)
    found = model.probabilities(DATA)
    assert found.shape == (60, 3) and (found[:, 1] == 0).all()
    np.testing.assert_array_equal(found.argmax(axis=1)[TARGETS != 1], TARGETS[TARGETS != 1])
    again = Guarded(Partial(None), "partial")
    again.load(model.state())
    np.testing.assert_allclose(again.probabilities(DATA), found, atol=1e-5)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (np.full((60, 3), np.nan, np.float32), "no probabilities"),
        (np.full((60, 3), 4.0, np.float32), "no probabilities"),
        (np.zeros((60, 2), np.float32), r"float32 of \(60, 2\), expected float32 of \(60, 3\)"),
        (np.zeros((60, 3), int), "int64 of"),
    ],
)
def test_what_are_no_probabilities_is_refused(found, said):
    model = NaiveBayes(None)
    model.probabilities = lambda _: found
    with pytest.raises(PluginError, match=rf"classifier 'bayes' \(.*NaiveBayes\): probabilities: found .*{said}"):
        Guarded(model, "bayes").probabilities(DATA)


def test_what_goes_wrong_within_it_names_it():
    model = Guarded(NaiveBayes(None), "bayes")
    with pytest.raises(PluginError, match="bayes.*state"):
        model.state()
    model.fit(DATA, 0)
    model.model.estimator.theta_[0, 0] = np.nan
    with pytest.raises(PluginError, match="theta_ that are not finite"):
        model.state()
    NaiveBayes.make, made = lambda *_: 1 / 0, NaiveBayes.make
    try:
        with pytest.raises(PluginError, match=r"bayes.*NaiveBayes.*from_settings: found ZeroDivisionError"):
            Guarded.made(NaiveBayes, "bayes", None, None)
        with pytest.raises(PluginError, match="bayes.*fit: found ZeroDivisionError"):
            model.fit(DATA, 0)
    finally:
        NaiveBayes.make = made
