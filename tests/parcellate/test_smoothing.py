"""Borders become shorter; parcels stay whole and large enough."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import AffinityConfig
from cytomesh.parcellate.connect import join_fragments, pieces
from cytomesh.parcellate.smoothing import smooth_borders


def triangles(side: int) -> sp.csr_matrix:
    """A grid with one diagonal in every square."""
    index = np.arange(side * side).reshape(side, side)
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:]), (index[:-1, :-1], index[1:, 1:])]
    i, j = (np.concatenate([pair[end].ravel() for pair in pairs]) for end in (0, 1))
    one_way = sp.csr_matrix((np.ones(len(i)), (i, j)), shape=(side**2, side**2))
    return sp.csr_matrix(one_way + one_way.T)


def cut(labels: np.ndarray, weights: sp.csr_matrix) -> float:
    edges = weights.tocoo()
    return float(edges.data[labels[edges.row] != labels[edges.col]].sum() / 2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n_labels=st.integers(2, 9), min_nodes=st.integers(1, 6))
def test_parcels_stay_whole_and_the_cut_shrinks(seed: int, n_labels: int, min_nodes: int) -> None:
    rng = np.random.default_rng(seed)
    adjacency = triangles(8)
    weights = affinity_graph(adjacency, rng.normal(size=(64, 2)), AffinityConfig())
    labels = join_fragments(rng.integers(n_labels, size=64), weights, min_nodes)
    found = smooth_borders(labels, weights, adjacency, 4, min_nodes)
    assert set(found) == set(labels)
    assert pieces(found, adjacency).max() == pieces(labels, adjacency).max()
    assert np.bincount(found).min() >= min_nodes
    assert cut(found, weights) <= cut(labels, weights)
    if not np.array_equal(found, labels):
        assert cut(found, weights) < cut(labels, weights)
    np.testing.assert_array_equal(found, smooth_borders(labels, weights, adjacency, 4, min_nodes))


def test_a_tooth_is_filed_off() -> None:
    adjacency = triangles(9)
    row, column = np.divmod(np.arange(81), 9)
    straight = (column >= 4).astype(np.int64)
    toothed = straight.copy()
    toothed[(row == 4) & (column == 4)] = 0
    np.testing.assert_array_equal(smooth_borders(toothed, adjacency, adjacency, 3, 1), straight)
    np.testing.assert_array_equal(smooth_borders(straight, adjacency, adjacency, 3, 1), straight)
    np.testing.assert_array_equal(smooth_borders(toothed, adjacency, adjacency, 0, 1), toothed)


def test_features_hold_a_tooth_that_is_theirs() -> None:
    adjacency = triangles(9)
    row, column = np.divmod(np.arange(81), 9)
    toothed = ((column >= 4) & ~((row == 4) & (column == 4))).astype(np.int64)
    weights = affinity_graph(adjacency, 5.0 * toothed[:, None], AffinityConfig())
    np.testing.assert_array_equal(smooth_borders(toothed, weights, adjacency, 3, 1), toothed)


@pytest.mark.parametrize(("min_nodes", "is_kept"), [(3, True), (1, False)])
def test_a_parcel_keeps_its_smallest_size_and_never_vanishes(min_nodes: int, is_kept: bool) -> None:
    adjacency = triangles(6)
    labels = np.zeros(36, np.int64)
    labels[[14, 15, 21]] = 1
    found = smooth_borders(labels, adjacency, adjacency, 10, min_nodes)
    assert ((found == 1).sum() == 3) == is_kept
    assert (found == 1).any()


def test_one_parcel_has_no_border() -> None:
    np.testing.assert_array_equal(smooth_borders(np.zeros(36, np.int64), triangles(6), triangles(6), 2, 1), 0)
