"""Pieces, fragments, merging and splitting."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.connect import check_count, join_fragments, merge_regions, pieces, split_regions


def path_graph(n: int) -> sp.csr_matrix:
    return sp.csr_matrix(np.eye(n, k=1) + np.eye(n, k=-1))


def grid(side: int) -> sp.csr_matrix:
    path = path_graph(side)
    return sp.csr_matrix(sp.kron(path, sp.identity(side)) + sp.kron(sp.identity(side), path))


def scatter(labels: np.ndarray, values: np.ndarray) -> float:
    return sum(((values[labels == c] - values[labels == c].mean(0)) ** 2).sum() for c in np.unique(labels))


def test_pieces_of_a_path() -> None:
    assert pieces(np.array([0, 0, 1, 0, 0, 1]), path_graph(6)).tolist() == [0, 0, 1, 2, 2, 3]


def test_a_fragment_goes_to_its_strongest_neighbour() -> None:
    weights = path_graph(7).tolil()
    weights[4, 5] = weights[5, 4] = 5.0
    labels = np.array([0, 0, 0, 1, 0, 2, 2])  # node 4 is a fragment of 0, between 1 and 2
    assert join_fragments(labels, weights.tocsr(), 1).tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_small_parcels_are_dissolved_in_chains() -> None:
    labels = np.array([0, 1, 2, 3, 4, 4, 4, 4])
    assert join_fragments(labels, path_graph(8), 3).max() <= 1


def test_a_whole_component_stays_however_small() -> None:
    weights = sp.block_diag([path_graph(2), path_graph(6)], format="csr")
    assert join_fragments(np.array([0, 0, 1, 1, 1, 1, 1, 1]), weights, 5).tolist() == [0, 0, 1, 1, 1, 1, 1, 1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n_labels=st.integers(1, 20), min_nodes=st.integers(1, 8))
def test_joined_parcels_are_connected_and_large_enough(seed: int, n_labels: int, min_nodes: int) -> None:
    rng = np.random.default_rng(seed)
    adjacency = grid(7)
    joined = join_fragments(rng.integers(n_labels, size=49), adjacency, min_nodes)
    assert np.array_equal(np.unique(joined), np.arange(joined.max() + 1))
    assert pieces(joined, adjacency).max() == joined.max()
    assert np.bincount(joined).min() >= min_nodes


def test_merging_takes_the_cheapest_pair_each_time() -> None:
    rng = np.random.default_rng(0)
    adjacency, values = grid(5), rng.normal(size=(25, 2))
    labels = np.arange(25)
    for k in range(24, 3, -1):
        upper = sp.triu(adjacency).tocoo()
        pairs = {(labels[i], labels[j]) for i, j in zip(upper.row, upper.col, strict=True) if labels[i] != labels[j]}
        options = [np.where(labels == b, a, labels) for a, b in pairs]
        labels = min(options, key=lambda option: scatter(option, values))
        found = merge_regions(np.arange(25), values, adjacency, k)
        assert found.max() + 1 == k
        assert len(np.unique(found * 100 + labels)) == k  # the same partition


def test_merging_stops_where_nothing_touches() -> None:
    adjacency = sp.block_diag([path_graph(3), path_graph(3)], format="csr")
    assert merge_regions(np.arange(6), np.zeros((6, 1)), adjacency, 1).tolist() == [0, 0, 0, 1, 1, 1]


def test_splitting_reaches_k_connected_regions() -> None:
    rng = np.random.default_rng(0)
    adjacency = grid(8)
    values = rng.normal(size=(64, 2))
    labels = (np.arange(64) >= 32).astype(np.int64)
    found = split_regions(labels, values, adjacency, 6, 4)
    assert found.max() == 5
    assert pieces(found, adjacency).max() == 5
    assert np.bincount(found).min() >= 4
    # the given border is kept
    assert all(len(np.unique(labels[found == region])) == 1 for region in range(6))


def test_splitting_gives_up_below_the_smallest_size() -> None:
    assert split_regions(np.zeros(4, np.int64), np.arange(4.0)[:, None], path_graph(4), 3, 3).max() == 0


def test_number_of_parcels_must_be_possible() -> None:
    adjacency = sp.block_diag([path_graph(3), path_graph(3)], format="csr")
    for k in (1, 7):
        with pytest.raises(GraphError, match=r"between 2 .* and 6"):
            check_count(k, adjacency, "test")
    check_count(2, adjacency, "test")
