"""Eigenpairs against dense LAPACK; wrong answers are refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.core.errors import GraphError, QualityError
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import AffinityConfig, SpectralConfig
from cytomesh.parcellate.spectral import (
    check_eigenpairs,
    check_weights,
    eigengap,
    lowest_eigenpairs,
    normalised_laplacian,
)


def laplacian_by_loops(weights: np.ndarray) -> np.ndarray:
    degree = weights.sum(axis=1)
    n = len(weights)
    return np.array(
        [[float(i == j) - weights[i, j] / np.sqrt(degree[i] * degree[j]) for j in range(n)] for i in range(n)]
    )


@pytest.fixture(scope="module")
def mesh_weights(make_planted):
    graph, _ = make_planted(3)
    values = np.random.default_rng(0).normal(size=(graph.n_nodes, 3))
    return affinity_graph(graph.adjacency, values, AffinityConfig())


@pytest.mark.parametrize("solver", ["shift_invert", "lanczos"])
def test_solvers_agree_with_lapack(mesh_weights, solver) -> None:
    found = lowest_eigenpairs(mesh_weights, 12, SpectralConfig(solver=solver), 0)
    laplacian = normalised_laplacian(mesh_weights).toarray()
    values, vectors = np.linalg.eigh(laplacian)
    np.testing.assert_allclose(found.eigenvalues, values[:12], atol=1e-8)
    overlap = np.linalg.svd(vectors[:, :12].T @ found.vectors, compute_uv=False)
    np.testing.assert_allclose(overlap, 1.0, atol=1e-8)
    assert found.residual < 1e-6


def test_laplacian_is_the_formula(make_planted) -> None:
    graph, _ = make_planted(1)
    weights = affinity_graph(graph.adjacency, graph.positions, AffinityConfig())
    np.testing.assert_allclose(
        normalised_laplacian(weights).toarray(), laplacian_by_loops(weights.toarray()), atol=1e-14
    )


def test_same_numbers_again_with_fixed_signs(mesh_weights) -> None:
    one, two = (lowest_eigenpairs(mesh_weights, 6, SpectralConfig(), 0) for _ in range(2))
    np.testing.assert_array_equal(one.vectors, two.vectors)
    largest = one.vectors[np.argmax(np.abs(one.vectors), axis=0), np.arange(6)]
    assert (largest > 0).all()
    assert (np.diff(one.eigenvalues) >= 0).all()


def test_components_are_solved_on_their_own(mesh_weights) -> None:
    small = sp.csr_matrix(mesh_weights[:30][:, :30])
    both = sp.block_diag([mesh_weights, small, sp.csr_matrix((1, 1))], format="csr")
    found = lowest_eigenpairs(both, 9, SpectralConfig(), 0)
    assert found.n_components >= 3
    values = np.linalg.eigvalsh(normalised_laplacian(both).toarray())
    np.testing.assert_allclose(found.eigenvalues, values[:9], atol=1e-8)
    # every vector lives on one component
    start = mesh_weights.shape[0]
    assert all(
        np.count_nonzero([np.abs(part).max() > 0 for part in np.split(column, [start, start + 30])]) == 1
        for column in found.vectors.T
    )


def test_zero_weight_edges_do_not_connect() -> None:
    weights = np.zeros((6, 6))
    weights[:3, :3] = weights[3:, 3:] = 1.0 - np.eye(3)
    graph = sp.lil_matrix(weights).tocsr()
    rows, columns = np.r_[graph.tocoo().row, 2, 3], np.r_[graph.tocoo().col, 3, 2]
    stored = sp.csr_matrix((np.r_[graph.data, 0.0, 0.0], (rows, columns)), shape=(6, 6))
    assert stored.nnz == graph.nnz + 2
    found = lowest_eigenpairs(stored, 3, SpectralConfig(), 0)
    assert found.n_components == 2
    np.testing.assert_allclose(found.eigenvalues, [0.0, 0.0, 1.5], atol=1e-12)


@pytest.mark.parametrize("damage", [np.nan, -1.0, np.inf])
def test_bad_weights_are_refused(mesh_weights, damage) -> None:
    bad = mesh_weights.copy()
    bad.data[0] = damage
    with pytest.raises(GraphError, match="negative, NaN"):
        check_weights(bad, "test")


def test_asymmetric_weights_are_refused(mesh_weights) -> None:
    bad = mesh_weights.copy()
    bad.data[0] *= 2.0
    with pytest.raises(GraphError, match="asymmetric"):
        check_weights(bad, "test")


def test_more_vectors_than_nodes_are_refused(mesh_weights) -> None:
    with pytest.raises(GraphError, match="eigenvectors of"):
        lowest_eigenpairs(mesh_weights, mesh_weights.shape[0] + 1, SpectralConfig(), 0)


@pytest.mark.parametrize("damage", ["rotated", "repeated", "nan"])
def test_wrong_eigenvectors_are_refused(mesh_weights, damage) -> None:
    found = lowest_eigenpairs(mesh_weights, 5, SpectralConfig(), 0)
    vectors = found.vectors.copy()
    if damage == "rotated":
        vectors[:, [1, 4]] = (vectors[:, [1, 4]] @ np.array([[1, -1], [1, 1]])) / np.sqrt(2)
    elif damage == "repeated":
        vectors[:, 2] = vectors[:, 1]
    else:
        vectors[0, 0] = np.nan
    with pytest.raises(QualityError, match="residual"):
        check_eigenpairs(normalised_laplacian(mesh_weights), found.eigenvalues, vectors, 1e-6, "test")


def test_eigengap_finds_planted_blocks() -> None:
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(7), 20)
    weights = (block[:, None] == block).astype(float) + 0.01 * rng.random((140, 140))
    weights = 0.5 * (weights + weights.T) * (1 - np.eye(140))
    found = lowest_eigenpairs(sp.csr_matrix(weights), 20, SpectralConfig(), 0)
    assert eigengap(found.eigenvalues, 2, 18) == 7
    with pytest.raises(GraphError):
        eigengap(found.eigenvalues[:2], 5, 6)
