"""Feature neighbours, and parcels in their diffusion coordinates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cytomesh.parcellate.config import DiffusionConfig, PreparationConfig, SpectralConfig
from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.diffusion import diffusion_parcels, neighbour_graph
from cytomesh.parcellate.features import prepare_features


def graph_by_loops(values: np.ndarray, n_neighbours: int) -> np.ndarray:
    """The formula, pair by pair. Slow on purpose."""
    n = len(values)
    distance = np.array([[math.dist(a, b) for b in values] for a in values])
    order = [[j for j in np.argsort(distance[i], kind="stable") if j != i] for i in range(n)]
    scale = [distance[i, order[i][6]] for i in range(n)]
    weights = np.zeros((n, n))
    for i in range(n):
        for j in order[i][:n_neighbours]:
            weights[i, j] = weights[j, i] = math.exp(-(distance[i, j] ** 2) / (scale[i] * scale[j]))
    return weights


def test_neighbour_graph_is_the_formula() -> None:
    values = np.random.default_rng(0).normal(size=(60, 3))
    np.testing.assert_allclose(neighbour_graph(values, 9).toarray(), graph_by_loops(values, 9), atol=1e-12)


def test_identical_rows_weigh_one() -> None:
    found = neighbour_graph(np.ones((20, 2)), 8)
    assert (found.data == 1.0).all()
    assert found.diagonal().max() == 0.0


@pytest.mark.parametrize("max_regions", [10_000, 200])
def test_planted_areas_are_recovered(make_planted, max_regions) -> None:
    graph, features = make_planted()
    found = prepare_features(graph, features, PreparationConfig(hops=1, impute_hops=0), 4, "test")
    settings = DiffusionConfig(neighbours=15, n_components=7, max_regions=max_regions)
    parcels = diffusion_parcels(found.values, found.adjacency, 8, 4, settings, SpectralConfig(), 0)
    assert parcels.max() == pieces(parcels, found.adjacency).max() == 7
    assert adjusted_rand_score(parcels, graph.annotation[found.nodes]) > 0.85


def test_one_kind_of_cortex_in_two_places_is_two_parcels(make_planted) -> None:
    graph, _ = make_planted()
    cap = np.abs(graph.positions[:, 2]) > 30.0  # around both poles
    values = cap[:, None] * 4.0 + 0.3 * np.random.default_rng(0).normal(size=(graph.n_nodes, 2))
    settings = DiffusionConfig(neighbours=15, n_components=2)
    parcels = diffusion_parcels(values, graph.adjacency, 3, 5, settings, SpectralConfig(), 0)
    assert adjusted_rand_score(parcels, pieces(cap.astype(np.int64), graph.adjacency)) > 0.95
