"""The tree of merges against the formula by loops and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from cytomesh.parcellate.ward import ward_tree


def grid(side: int) -> sp.csr_matrix:
    path = sp.csr_matrix(np.eye(side, k=1) + np.eye(side, k=-1))
    return sp.csr_matrix(sp.kron(path, sp.identity(side)) + sp.kron(sp.identity(side), path))


def scatter(labels: np.ndarray, values: np.ndarray, counts: np.ndarray) -> float:
    """The sum of squares within regions, region by region. Slow on purpose."""
    total = 0.0
    for region in np.unique(labels):
        inside = labels == region
        mean = np.average(values[inside], axis=0, weights=counts[inside])
        total += float(np.sum(counts[inside, None] * (values[inside] - mean) ** 2))
    return total


def test_every_merge_is_the_cheapest_there_is() -> None:
    rng = np.random.default_rng(0)
    adjacency, values, counts = grid(5), rng.normal(size=(25, 2)), rng.integers(1, 9, 25).astype(float)
    tree = ward_tree(values, adjacency, counts)
    labels = np.arange(25)
    upper = sp.triu(adjacency).tocoo()
    for k in range(24, 0, -1):
        before = scatter(labels, values, counts)
        pairs = {(labels[i], labels[j]) for i, j in zip(upper.row, upper.col, strict=True) if labels[i] != labels[j]}
        options = [np.where(labels == b, a, labels) for a, b in pairs]
        labels = min(options, key=lambda option: scatter(option, values, counts))
        assert adjusted_rand_score(tree.cut(k), labels) == 1.0
        assert tree.growth[24 - k] == pytest.approx(scatter(labels, values, counts) - before)


@pytest.mark.parametrize("k", [2, 10, 100])
def test_ward_is_scikit_learns_on_a_connected_mesh(make_planted, k) -> None:
    graph, _ = make_planted(3)
    values = np.random.default_rng(0).normal(size=(graph.n_nodes, 3))
    expected = AgglomerativeClustering(k, connectivity=graph.adjacency, linkage="ward").fit_predict(values)
    assert adjusted_rand_score(ward_tree(values, graph.adjacency).cut(k), expected) == 1.0


def test_cuts_are_nested() -> None:
    values = np.random.default_rng(0).normal(size=(64, 2))
    tree = ward_tree(values, grid(8))
    fine, coarse = tree.cut(20), tree.cut(6)
    assert len(np.unique(fine)) == 20
    assert len(np.unique(coarse)) == 6
    assert all(len(np.unique(coarse[fine == region])) == 1 for region in range(20))


def test_stopping_early_gives_the_same_merges() -> None:
    values = np.random.default_rng(0).normal(size=(64, 2))
    whole, stopped = ward_tree(values, grid(8)), ward_tree(values, grid(8), stop_at=30)
    assert stopped.fewest == 30
    np.testing.assert_array_equal(whole.children[:34], stopped.children)
    np.testing.assert_array_equal(whole.cut(40), stopped.cut(40))


def test_components_are_never_merged() -> None:
    both = sp.block_diag([grid(3), grid(4), sp.csr_matrix((1, 1))], format="csr")
    tree = ward_tree(np.zeros((26, 1)), both)
    assert tree.fewest == 3
    assert adjusted_rand_score(tree.cut(1), [0] * 9 + [1] * 16 + [2]) == 1.0


def test_the_input_is_left_alone() -> None:
    values, counts = np.random.default_rng(0).normal(size=(25, 2)), np.ones(25)
    copies = values.copy(), counts.copy()
    ward_tree(values, grid(5), counts)
    np.testing.assert_array_equal(values, copies[0])
    np.testing.assert_array_equal(counts, copies[1])
