"""Eigenpairs of the Chebyshev filter against dense LAPACK, and the filter against its polynomial."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from pyamg.aggregation import standard_aggregation

from cytomesh.core.errors import QualityError
from cytomesh.parcellate import chebyshev
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.chebyshev import chebyshev_eigenpairs
from cytomesh.parcellate.config import AffinityConfig
from cytomesh.parcellate.spectral import normalised_laplacian


@pytest.fixture(scope="module")
def mesh_weights(make_planted):
    graph, _ = make_planted(4)  # 2,562 nodes: more than are solved densely
    values = np.random.default_rng(0).normal(size=(graph.n_nodes, 3))
    return affinity_graph(graph.adjacency, values, AffinityConfig())


def test_eigenpairs_are_lapacks(mesh_weights) -> None:
    values, vectors = chebyshev_eigenpairs(mesh_weights, 20, 1e-6, "test")
    laplacian = normalised_laplacian(mesh_weights).toarray()
    expected, exact = np.linalg.eigh(laplacian)
    np.testing.assert_allclose(values, expected[:20], atol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(20), atol=1e-9)
    assert np.linalg.norm(laplacian @ vectors - vectors * values, axis=0).max() <= 1e-6
    # the same space: nothing in between was missed
    assert np.linalg.svd(exact[:, :20].T @ vectors, compute_uv=False).min() > 1 - 1e-6


@pytest.mark.parametrize(("hops", "k"), [(3, 60), (5, 20), (6, 60)])
def test_a_graph_whose_aggregates_are_fewer_than_its_columns(make_planted, hops, k) -> None:
    graph, _ = make_planted(4)
    values = np.random.default_rng(0).normal(size=(graph.n_nodes, 3))
    weights = affinity_graph(graph.adjacency, values, AffinityConfig(hops=hops))
    assert standard_aggregation(weights)[0].shape[1] < k + 8
    found, vectors = chebyshev_eigenpairs(weights, k, 1e-6, "test")
    expected, exact = np.linalg.eigh(normalised_laplacian(weights).toarray())
    np.testing.assert_allclose(found, expected[:k], atol=1e-9)
    assert np.linalg.svd(exact[:, :k].T @ vectors, compute_uv=False).min() > 1 - 1e-6


def test_the_number_of_threads_changes_nothing(mesh_weights, monkeypatch) -> None:
    many = chebyshev_eigenpairs(mesh_weights, 70, 1e-5, "test")[1]
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    np.testing.assert_array_equal(chebyshev_eigenpairs(mesh_weights, 70, 1e-5, "test")[1], many)


def test_the_filter_is_the_polynomial(mesh_weights) -> None:
    small = sp.csr_matrix(mesh_weights[:200][:, :200])
    degree = np.maximum(np.asarray(small.sum(axis=1)).ravel(), 1e-9)
    operator = sp.csr_matrix(sp.diags_array(degree**-0.5) @ small @ sp.diags_array(degree**-0.5))
    start = np.random.default_rng(0).normal(size=(200, chebyshev.BLOCK))
    cut = 0.6
    found = chebyshev._filter(operator.astype(np.float32), start, cut)
    values, vectors = np.linalg.eigh(operator.toarray())
    half, centre = 0.5 * (cut + 1), 0.5 * (cut - 1)
    order = int(chebyshev.LOG_GROWTH / np.arccosh((1 - centre) / half)) // 2 * 2
    x = (values - centre) / half
    polynomial = np.where(
        np.abs(x) <= 1, np.cos(order * np.arccos(np.clip(x, -1, 1))), np.cosh(order * np.arccosh(np.maximum(x, 1)))
    )
    expected = vectors @ (polynomial[:, None] * (vectors.T @ start))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_what_does_not_converge_is_refused(mesh_weights, monkeypatch) -> None:
    monkeypatch.setattr(chebyshev, "MAX_SWEEPS", 1)
    with pytest.raises(QualityError, match="residual"):
        chebyshev_eigenpairs(mesh_weights, 20, 1e-12, "test")
