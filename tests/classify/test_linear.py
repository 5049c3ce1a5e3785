from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify import out_of_core
from cytomesh.classify.linear import LdaClassifier, LdaModel, LogisticClassifier, LogisticModel
from cytomesh.classify.nodes import NodeData


def gaussian_data(k=3, n=300, seed=0):
    random = np.random.default_rng(seed)
    targets = random.integers(0, k, n)
    inputs = (2.5 * np.eye(k, 4)[targets] + random.normal(size=(n, 4))).astype(np.float32)
    sides = np.where(np.arange(n) < n // 2, "train", "test")
    classes = np.arange(1, k + 1, dtype=np.int32)
    return NodeData(inputs, targets, sides, sp.csr_matrix((n, n)), np.array([n]), classes, np.zeros((n, 3), np.float32))


MODELS = [partial(LdaClassifier, LdaModel(kind="lda")), partial(LogisticClassifier, LogisticModel(kind="logistic"))]


@pytest.mark.parametrize("make", MODELS, ids=["lda", "logistic"])
@pytest.mark.parametrize("k", [2, 3])
def test_learns_and_comes_back(make, k):
    data = gaussian_data(k)
    model = make()
    assert model.fit(data, 0) == []
    probabilities = model.probabilities(data)
    assert probabilities.shape == (300, k)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    on_test = data.evaluated("test")
    assert (probabilities.argmax(axis=1) == data.targets)[on_test].mean() > 0.75
    again = make()
    again.load(model.state())
    np.testing.assert_allclose(again.probabilities(data), probabilities, atol=1e-5)


def test_lda_by_the_formula():
    data = gaussian_data(3)
    model = LdaClassifier(LdaModel(kind="lda", shrinkage=0.2))
    model.fit(data, 0)
    x, y = data.inputs[data.is_train].astype(float), data.targets[data.is_train]
    means = np.stack([x[y == c].mean(axis=0) for c in range(3)])
    shrunk = np.zeros((4, 4))
    for c in range(3):
        covariance = np.cov(x[y == c].T, bias=True)
        shrunk += (0.8 * covariance + 0.2 * np.trace(covariance) / 4 * np.eye(4)) / 3
    weights = np.linalg.solve(shrunk, means.T)
    scores = data.inputs @ weights - 0.5 * (means * weights.T).sum(axis=1)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(data), expected, atol=1e-4)


@pytest.mark.parametrize("make", MODELS, ids=["lda", "logistic"])
def test_a_class_with_one_node(make):
    data = gaussian_data(3)
    targets = data.targets.copy()
    targets[np.flatnonzero(data.is_train & (targets == 2))[1:]] = 0
    data = replace(data, targets=targets)
    model = make()
    model.fit(data, 0)
    assert np.isfinite(model.probabilities(data)).all()


@pytest.mark.parametrize("k", [2, 3])
def test_lda_on_inputs_that_stay_on_disk(k, monkeypatch):
    data = gaussian_data(k)
    monkeypatch.setattr(out_of_core, "CHUNK_VALUES", 40)
    on_disk = replace(data, inputs=out_of_core.StoredInputs(((out_of_core.StoredInput(data.inputs),),)))
    models = [LdaClassifier(LdaModel(kind="lda", shrinkage=0.1)) for _ in range(2)]
    models[0].fit(data, 0)
    models[1].fit(on_disk, 0)
    np.testing.assert_allclose(models[1].probabilities(on_disk), models[0].probabilities(data), atol=1e-5)
