"""Selection, imputation and whitening, against loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.core.errors import FeatureError, GraphError
from cytomesh.core.tables import Table
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.parcellate.config import PreparationConfig
from cytomesh.parcellate.features import (
    autocorrelation_factors,
    large_islands,
    prepare_features,
    principal_components,
    select_nodes,
)


def path_graph(n: int) -> sp.csr_matrix:
    return sp.csr_matrix(np.eye(n, k=1) + np.eye(n, k=-1))


def test_unlinked_nodes_are_imputed_near_and_masked_far(make_planted) -> None:
    graph, features = make_planted()
    masked = prepare_features(graph, features, PreparationConfig(impute_hops=0), 4, "test")
    np.testing.assert_array_equal(masked.nodes, np.flatnonzero(graph.is_linked))
    assert not masked.is_imputed.any()
    filled = prepare_features(graph, features, PreparationConfig(impute_hops=1), 4, "test")
    added = np.setdiff1d(filled.nodes, masked.nodes)
    ring = np.flatnonzero(~graph.is_linked & (graph.adjacency @ graph.is_linked.astype(float) > 0))
    np.testing.assert_array_equal(added, ring)
    assert filled.is_imputed.sum() == len(ring)


def test_nodes_that_are_no_cortex_are_not_filled_in(make_planted) -> None:
    graph, features = make_planted()
    everywhere = prepare_features(graph, features, PreparationConfig(impute_hops=1), 4, "test")
    imputed = everywhere.nodes[everywhere.is_imputed]
    is_cortex = np.ones(graph.n_nodes, bool)
    is_cortex[imputed[:3]] = False
    cut = replace(graph, nodes=replace(graph.nodes, columns={**graph.nodes.columns, "is_cortex": is_cortex}))
    kept = prepare_features(cut, features, PreparationConfig(impute_hops=1), 4, "test")
    np.testing.assert_array_equal(kept.nodes, np.setdiff1d(everywhere.nodes, imputed[:3]))


def test_whitening_undoes_any_linear_mix_of_features(make_planted) -> None:
    graph, _ = make_planted()
    rng = np.random.default_rng(2)
    values = hop_mean(graph.adjacency, rng.normal(size=(graph.n_nodes, 4)), 2)
    mixed = values @ (np.eye(4) + 0.4 * rng.normal(size=(4, 4)))
    one, two = (autocorrelation_factors(x, graph.adjacency, 2, 4) for x in (values, mixed))
    pairs = rng.integers(graph.n_nodes, size=(200, 2))
    distances = [np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1) for x in (one, two)]
    np.testing.assert_allclose(*distances, rtol=0.15)  # up to the shrinkage of the noise covariance


def test_autocorrelated_feature_comes_first(make_planted) -> None:
    graph, _ = make_planted()
    rng = np.random.default_rng(3)
    values = 10.0 * rng.normal(size=(graph.n_nodes, 3))
    values[:, 1] = graph.positions[:, 0] / 50.0
    first = autocorrelation_factors(values, graph.adjacency, 2, 3)[:, 0]
    assert abs(np.corrcoef(first, values[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(principal_components(values, 3)[:, 0], values[:, 1])[0, 1]) < 0.3


def test_oblique_and_far_nodes_count_for_less(make_planted) -> None:
    graph, features = make_planted()
    rng = np.random.default_rng(4)
    obliqueness, distance = rng.uniform(0, 90, graph.n_nodes), rng.normal(0, 0.3, graph.n_nodes)
    columns = {**graph.nodes.columns, "obliqueness_deg": obliqueness, "distance_mm": distance}
    graph = replace(graph, nodes=Table(columns))
    settings = PreparationConfig(hops=1, impute_hops=0, obliqueness_power=2.0, distance_scale_mm=0.5)
    found = select_nodes(graph, features, settings, 4, "test")
    weights = np.maximum(np.cos(np.radians(obliqueness)) ** 2 * np.exp(-2.0 * distance**2), 1e-3)[found.nodes]
    np.testing.assert_allclose(found.weights, weights)
    for node in (3, 50, 200):
        around = [node, *found.adjacency[node].indices]
        expected = np.average(found.standardised[around], axis=0, weights=weights[around])
        np.testing.assert_allclose(found.values[node], expected)
    assert select_nodes(graph, features, PreparationConfig(hops=1, impute_hops=0), 4, "test").weights is None


def test_links_of_unknown_quality_are_refused(make_planted) -> None:
    graph, features = make_planted()
    with pytest.raises(GraphError, match="obliqueness_deg"):
        select_nodes(graph, features, PreparationConfig(obliqueness_power=1.0), 4, "test")


def test_constant_field_has_no_local_variation_to_whiten_by() -> None:
    values = np.ones((5, 2))
    assert np.isfinite(autocorrelation_factors(values, path_graph(5), 1, 2)).all()


def test_nan_at_a_linked_node_is_refused(make_planted) -> None:
    graph, features = make_planted()
    node = int(np.flatnonzero(graph.is_linked)[5])
    features[node, 2] = np.nan
    with pytest.raises(FeatureError, match=f"node {node}"):
        prepare_features(graph, features, PreparationConfig(), 4, "encoder x")


@pytest.mark.parametrize("value", [0.0, 3.7, 1e30])
def test_constant_features_are_refused(make_planted, value: float) -> None:
    graph, features = make_planted()
    features[graph.is_linked] = value
    with pytest.raises(FeatureError):
        prepare_features(graph, features, PreparationConfig(), 4, "encoder x")


def test_one_constant_feature_among_others_is_dropped(make_planted) -> None:
    graph, features = make_planted()
    features[:, 0] = 5.0
    found = prepare_features(graph, features, PreparationConfig(), 4, "test")
    assert found.standardised.shape[1] == features.shape[1] - 1


def test_features_of_another_mesh_are_refused(make_planted) -> None:
    graph, features = make_planted()
    with pytest.raises(FeatureError, match="shape"):
        prepare_features(graph, features[:-1], PreparationConfig(), 4, "test")


def test_no_linked_node_is_an_error(make_planted, without_links) -> None:
    graph, features = make_planted()
    bare = without_links(graph, np.ones(graph.n_nodes, bool))
    with pytest.raises(FeatureError):
        prepare_features(bare, features, PreparationConfig(), 4, "test")


def test_small_islands_are_left_out(make_planted, without_links) -> None:
    adjacency = sp.block_diag([path_graph(6), path_graph(3)], format="csr")
    assert large_islands(adjacency, np.ones(9, bool), 4, "test").tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(GraphError, match="pieces of less than 7"):
        large_islands(adjacency, np.ones(9, bool), 7, "test")
