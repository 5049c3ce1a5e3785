"""Types wherever they are, parcels in one piece."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score

from cytomesh.parcellate.config import AffinityConfig, FeatureClustersConfig, PreparationConfig
from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.feature_clusters import cluster_labels, cluster_parcels, within_whitened
from cytomesh.parcellate.features import prepare_features


def test_one_type_in_two_places_is_two_parcels(make_planted) -> None:
    graph, _ = make_planted()
    cap = np.abs(graph.positions[:, 2]) > 30.0  # around both poles
    rng = np.random.default_rng(0)
    values = cap[:, None] * 4.0 + 0.3 * rng.normal(size=(graph.n_nodes, 2))
    settings = FeatureClustersConfig(n_types=2, smoothing_hops=1, smoothing_rounds=3)
    types, _ = cluster_labels(values, graph.adjacency, 2, settings, 0)
    assert adjusted_rand_score(types, cap) == 1.0
    parcels = cluster_parcels(values, graph.adjacency, 3, 5, settings, AffinityConfig(), 0)
    assert parcels.max() == 2
    assert adjusted_rand_score(parcels, pieces(cap.astype(np.int64), graph.adjacency)) == 1.0


def test_smoothing_removes_specks(make_planted) -> None:
    graph, _ = make_planted()
    half = (graph.positions[:, 0] > 0).astype(float)
    speck = int(np.argmax(graph.positions[:, 0]))
    half[speck] = 0.0
    rough = FeatureClustersConfig(n_types=2, smoothing_rounds=0)
    smooth = FeatureClustersConfig(n_types=2, smoothing_hops=1, smoothing_rounds=3)
    neighbour = graph.adjacency[speck].indices[0]
    before, after = (cluster_labels(half[:, None], graph.adjacency, 2, s, 0)[0] for s in (rough, smooth))
    assert before[speck] != before[neighbour]
    assert after[speck] == after[neighbour]


def test_planted_areas_are_recovered(make_planted) -> None:
    graph, features = make_planted()
    found = prepare_features(graph, features, PreparationConfig(hops=1, impute_hops=0), 4, "test")
    settings = FeatureClustersConfig(n_types=8, smoothing_hops=1)
    parcels = cluster_parcels(found.values, found.adjacency, 8, 4, settings, AffinityConfig(), 0)
    assert adjusted_rand_score(parcels, graph.annotation[found.nodes]) > 0.9


def test_scatter_within_types_becomes_the_identity() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=2000)
    values = rng.normal(size=(4, 3))[labels] * 9.0 + rng.normal(size=(2000, 3)) @ np.array(
        [[2.0, 1.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.3, 1.0]]
    )
    white = within_whitened(values, labels)
    rest = white - np.stack([white[labels == label].mean(0) for label in range(4)])[labels]
    np.testing.assert_allclose(np.cov(rest, rowvar=False), np.eye(3), atol=0.02)
