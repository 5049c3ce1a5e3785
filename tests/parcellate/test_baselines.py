"""Baselines: connected, of the wanted number, and of even size where geometry alone decides."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from cytomesh.parcellate.baselines import kmeans_clusters, voronoi_parcels, ward_parcels
from cytomesh.parcellate.connect import pieces


@pytest.mark.parametrize("k", [2, 7, 40])
def test_voronoi_cells_are_connected_and_even(make_planted, k) -> None:
    graph, _ = make_planted()
    labels = voronoi_parcels(graph.positions, graph.adjacency, k, 0)
    sizes = np.bincount(labels)
    assert len(sizes) == k
    assert pieces(labels, graph.adjacency).max() == k - 1
    assert sizes.max() <= 3 * sizes.min()


def test_voronoi_depends_on_the_seed_alone(make_planted) -> None:
    graph, _ = make_planted()
    one, again, other = (voronoi_parcels(graph.positions, graph.adjacency, 9, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert adjusted_rand_score(one, other) < 0.9


def test_voronoi_seeds_every_component(make_planted) -> None:
    graph, _ = make_planted(2, copies=3)
    labels = voronoi_parcels(graph.positions, graph.adjacency, 3, 0)
    np.testing.assert_array_equal(labels, pieces(np.zeros(graph.n_nodes, np.int64), graph.adjacency))


def test_ward_is_scikit_learns_on_a_connected_mesh(make_planted) -> None:
    graph, _ = make_planted(2)
    values = np.random.default_rng(0).normal(size=(graph.n_nodes, 3))
    expected = AgglomerativeClustering(10, connectivity=graph.adjacency, linkage="ward").fit_predict(values)
    found = ward_parcels(values, graph.adjacency, 10, 1)
    assert adjusted_rand_score(found, expected) == 1.0


def test_ward_on_two_components(make_planted) -> None:
    graph, _ = make_planted(2, copies=2)
    values = np.random.default_rng(0).normal(size=(graph.n_nodes, 3))
    labels = ward_parcels(values, graph.adjacency, 11, 3)
    assert labels.max() == 10
    assert pieces(labels, graph.adjacency).max() == 10


def test_kmeans_knows_features_alone() -> None:
    values = np.repeat([[0.0], [5.0], [9.0]], [10, 20, 5], axis=0)
    assert adjusted_rand_score(kmeans_clusters(values, 3, 0), values.ravel()) == 1.0
