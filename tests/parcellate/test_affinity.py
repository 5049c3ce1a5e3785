"""Edge weights against formulas by loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.core.errors import FeatureError
from cytomesh.parcellate.affinity import affinity_graph, within_hops
from cytomesh.parcellate.config import AffinityConfig


def rbf_by_loops(adjacency: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The formula, edge by edge. Slow on purpose."""
    n = len(values)
    neighbours = [np.flatnonzero(adjacency[i]) for i in range(n)]
    scale = [math.sqrt(np.mean([np.sum((values[i] - values[j]) ** 2) for j in neighbours[i]])) for i in range(n)]
    weights = np.zeros((n, n))
    for i in range(n):
        for j in neighbours[i]:
            weights[i, j] = math.exp(-np.sum((values[i] - values[j]) ** 2) / (scale[i] * scale[j]))
    return weights


def cosine_by_loops(adjacency: np.ndarray, values: np.ndarray) -> np.ndarray:
    weights = np.zeros(adjacency.shape)
    for i, j in np.argwhere(adjacency):
        norm = np.linalg.norm(values[i]) * np.linalg.norm(values[j])
        weights[i, j] = 0.5 * (1.0 + values[i] @ values[j] / norm)
    return weights


@pytest.fixture
def mesh_and_values(make_planted):
    graph, _ = make_planted(1)
    return graph.adjacency, np.random.default_rng(0).normal(size=(graph.n_nodes, 5))


def test_rbf(mesh_and_values) -> None:
    adjacency, values = mesh_and_values
    found = affinity_graph(adjacency, values, AffinityConfig(kind="rbf", sharpness=1.0, floor=0.0))
    np.testing.assert_allclose(found.toarray(), rbf_by_loops(adjacency.toarray(), values), atol=1e-12)


def test_cosine_and_sharpness(mesh_and_values) -> None:
    adjacency, values = mesh_and_values
    found = affinity_graph(adjacency, values, AffinityConfig(kind="cosine", sharpness=3.0, floor=0.0))
    np.testing.assert_allclose(found.toarray(), cosine_by_loops(adjacency.toarray(), values) ** 3, atol=1e-12)


def test_correlation_is_numpys(mesh_and_values) -> None:
    adjacency, values = mesh_and_values
    found = affinity_graph(adjacency, values, AffinityConfig(kind="correlation", sharpness=1.0, floor=0.0)).toarray()
    expected = 0.5 * (1.0 + np.corrcoef(values)) * adjacency.toarray()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["rbf", "cosine", "correlation"])
def test_weights_stay_between_floor_and_one(mesh_and_values, kind) -> None:
    adjacency, values = mesh_and_values
    values[0] = 0.0
    values[3] = 1e6
    found = affinity_graph(adjacency, values, AffinityConfig(kind=kind, floor=0.01))
    assert found.nnz == adjacency.nnz
    assert found.data.min() >= 0.01
    assert found.data.max() <= 1.0
    assert abs(found - found.T).max() == 0.0


def test_identical_neighbours_weigh_one(mesh_and_values) -> None:
    adjacency, values = mesh_and_values
    values[:] = values[0]
    np.testing.assert_allclose(affinity_graph(adjacency, values, AffinityConfig()).data, 1.0)


def test_hops_join_what_is_near() -> None:
    path = sp.csr_matrix(np.eye(6, k=1) + np.eye(6, k=-1))
    index = np.arange(6)
    gap = np.abs(index[:, None] - index)
    for hops in (1, 2, 3):
        np.testing.assert_array_equal(within_hops(path, hops).toarray(), ((gap <= hops) & (gap > 0)).astype(float))


@pytest.mark.parametrize("damage", ["nan", "rows"])
def test_values_of_another_mesh_or_nan_are_refused(mesh_and_values, damage) -> None:
    adjacency, values = mesh_and_values
    if damage == "nan":
        values[2, 2] = np.nan
    with pytest.raises(FeatureError, match="finite"):
        affinity_graph(adjacency, values if damage == "nan" else values[1:], AffinityConfig())
