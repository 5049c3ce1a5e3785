"""Every method through the one call; planted areas come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cytomesh.core.errors import GraphError, PluginError
from cytomesh.parcellate.config import ParcellateConfig, PreparationConfig
from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.features import prepare_features
from cytomesh.parcellate.method import METHODS, Method
from cytomesh.parcellate.methods import divide

SETTINGS = ParcellateConfig(
    n_parcels=8, min_nodes=4, preparation=PreparationConfig(hops=1, impute_hops=0), feature_clusters={"n_types": 8}
)


@pytest.fixture(scope="module")
def planted_features(make_planted):
    graph, features = make_planted()
    return graph, prepare_features(graph, features, SETTINGS.preparation, 4, "test")


@pytest.mark.parametrize("method", ["diffusion", "feature_clusters", "spectral", "ward", "kmeans"])
def test_planted_areas_are_recovered(planted_features, method) -> None:
    graph, features = planted_features
    found = divide(features, method, 8, SETTINGS, "test")
    assert len(np.unique(found.labels)) == 8
    assert adjusted_rand_score(found.labels, graph.annotation[features.nodes]) > 0.8
    if method != "kmeans":
        assert pieces(found.labels, features.adjacency).max() == 7
    again = divide(features, method, 8, SETTINGS, "test")
    np.testing.assert_array_equal(found.labels, again.labels)


def test_geometry_alone_does_not_know_the_areas(planted_features) -> None:
    graph, features = planted_features
    found = divide(features, "voronoi", 8, SETTINGS, "test")
    assert adjusted_rand_score(found.labels, graph.annotation[features.nodes]) < 0.7


def test_spectral_says_how_good_it_is(planted_features) -> None:
    _, features = planted_features
    facts = divide(features, "spectral", 8, SETTINGS, "test").facts
    assert facts["residual"] < 1e-5
    assert 0 < facts["normalised_cut"] < 8


@pytest.mark.parametrize("method", ["diffusion", "feature_clusters", "spectral", "ward", "voronoi"])
def test_two_components(make_planted, method) -> None:
    graph, features = make_planted(2, n_areas=3, copies=2)
    prepared = prepare_features(graph, features, SETTINGS.preparation, 4, "test")
    labels = divide(prepared, method, 6, SETTINGS, "test").labels
    assert len(np.unique(labels)) == 6
    assert pieces(labels, prepared.adjacency).max() == 5
    with pytest.raises(GraphError, match="between 2 "):
        divide(prepared, method, 1, SETTINGS, "test")


def test_more_parcels_than_nodes_are_refused(planted_features) -> None:
    _, features = planted_features
    with pytest.raises(GraphError, match="n_parcels"):
        divide(features, "spectral", len(features.nodes) + 1, SETTINGS, "test")


class Broken(Method):
    def parcels(self, problem):
        raise KeyError("half")


def test_an_added_method_that_fails_is_named(planted_features, monkeypatch) -> None:
    monkeypatch.setitem(METHODS._loaded, "broken", Broken)
    with pytest.raises(PluginError, match="method broken: found KeyError: 'half'"):
        divide(planted_features[1], "broken", 8, SETTINGS, "test")


def test_zero_weight_edges_are_harmless(planted_features) -> None:
    _, features = planted_features
    far = features.values.copy()
    far[0] += 1e4
    lonely = replace(features, values=far)
    settings = SETTINGS.model_copy(update={"affinity": SETTINGS.affinity.model_copy(update={"floor": 0.0})})
    labels = divide(lonely, "spectral", 8, settings, "test").labels
    assert pieces(labels, features.adjacency).max() + 1 == len(np.unique(labels))
