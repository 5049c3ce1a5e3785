import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.neighbours import KnnClassifier, KnnModel, PropagationClassifier, PropagationModel
from cytomesh.classify.nodes import NodeData


@pytest.fixture
def data():
    """Two paths of ten nodes, the second without labels; inputs say little."""
    random = np.random.default_rng(0)
    targets = np.repeat([0, 1, 0, 1], 5)
    inputs = (targets[:, None] + random.normal(size=(20, 2))).astype(np.float32)
    sides = np.full(20, "test", "<U5")
    sides[[0, 2, 7, 9]] = "train"
    path = sp.diags([np.ones(9), np.ones(9)], [-1, 1])
    return NodeData(
        inputs,
        targets,
        sides,
        sp.block_diag([path, path], format="csr"),
        np.array([10, 10]),
        np.array([1, 2], np.int32),
        np.zeros((20, 3), np.float32),
    )


def test_shares_among_the_nearest_by_sorting(data):
    model = KnnClassifier(KnnModel(kind="knn", neighbours=3), 2)
    model.fit(data, 0)
    train = np.flatnonzero(data.is_train)
    for node, shares in enumerate(model.probabilities(data)):
        nearest = train[np.argsort(((data.inputs[train] - data.inputs[node]) ** 2).sum(axis=1))[:3]]
        np.testing.assert_allclose(shares, [(data.targets[nearest] == c).mean() for c in (0, 1)], atol=1e-6)


def test_more_neighbours_than_training_nodes(data):
    model = KnnClassifier(KnnModel(kind="knn", neighbours=50), 2)
    model.fit(data, 0)
    np.testing.assert_allclose(model.probabilities(data), 0.5)


def test_propagation_approaches_the_closed_form(data):
    settings = PropagationModel(kind="label_propagation", alpha=0.8, steps=200, neighbours=3)
    model = PropagationClassifier(settings, 2)
    model.fit(data, 0)
    start = model.nearest.probabilities(data).astype(float)
    start[data.is_train] = np.eye(2)[data.targets[data.is_train]]
    degree = data.adjacency.toarray().sum(axis=1)
    spread = data.adjacency.toarray() / np.sqrt(np.outer(degree, degree))
    limit = 0.2 * np.linalg.solve(np.eye(20) - 0.8 * spread, start)  # Zhou et al. 2004, eq. 4
    probabilities = model.probabilities(data)
    np.testing.assert_allclose(probabilities, limit / limit.sum(axis=1, keepdims=True), atol=1e-5)
    assert probabilities[:3].argmax(axis=1).tolist() == [0, 0, 0]
    assert probabilities[7:10].argmax(axis=1).tolist() == [1, 1, 1]
