"""No score without its null."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.evaluate import (
    agreement,
    border_contrast,
    feature_scores,
    graph_silhouette,
    internal_scores,
    matched_dice,
    scores_over_nulls,
    shape_facts,
    variance_explained,
)
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.nulls import make_nulls
from cytomesh.surface.mesh import edge_lengths


def test_agreement_leaves_unlabelled_nodes_out() -> None:
    rng = np.random.default_rng(0)
    areas = rng.integers(0, 5, 300)
    parcels = rng.integers(0, 7, 300)
    found = agreement(parcels, areas)
    both = areas[areas > 0], parcels[areas > 0]
    expected = {
        "ami": metrics.adjusted_mutual_info_score(*both),
        "ari": metrics.adjusted_rand_score(*both),
        "nmi": metrics.normalized_mutual_info_score(*both),
        "homogeneity": metrics.homogeneity_score(*both),
        "completeness": metrics.completeness_score(*both),
    }
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("areas", [np.zeros(50, int), np.ones(50, int), np.r_[1, 2, np.zeros(48, int)]])
def test_nothing_to_compare_with_gives_no_score(areas) -> None:
    assert agreement(np.arange(50), areas) == {}


def test_labels_of_another_mesh_are_refused() -> None:
    with pytest.raises(GraphError, match="same nodes"):
        agreement(np.arange(50), np.ones(49, int))


def test_each_score_has_its_nulls_and_truth_beats_them(make_planted) -> None:
    graph, _ = make_planted()
    nodes = np.flatnonzero(graph.is_linked)
    adjacency = graph.adjacency[nodes][:, nodes]
    areas = graph.annotation[nodes]
    nulls = make_nulls(graph.annotation, nodes, graph.positions, graph.positions[nodes], adjacency, 8, 6, 3, 0)
    lengths = edge_lengths(graph.positions[nodes], adjacency)
    truth = scores_over_nulls(areas.astype(np.int64), areas, nulls, lengths)
    distances = {"areas_to_parcels_mm", "parcels_to_areas_mm", "border_distance_mm"}
    assert set(truth) == {"ami", "ari", "nmi", "homogeneity", "completeness", "dice"} | distances
    for name, entry in truth.items():
        sign = -1.0 if name in distances else 1.0
        assert entry["score"] == pytest.approx(0.0 if name in distances else 1.0)
        assert entry["over_spin"] == sign * (entry["score"] - entry["spin_mean"]) > 0.1
        assert entry["over_geometry"] > 0.1
    tiling = scores_over_nulls(nulls.tilings[0], areas, nulls, lengths)
    assert abs(tiling["ami"]["over_spin"]) < 0.12
    assert truth["ami"]["over_spin_sd"] > 4 * abs(tiling["ami"]["over_spin_sd"])


def test_variance_explained_by_loops() -> None:
    rng = np.random.default_rng(0)
    values, parcels = rng.normal(size=(60, 3)), rng.integers(5, size=60)
    within = sum(((values[parcels == c] - values[parcels == c].mean(0)) ** 2).sum() for c in range(5))
    total = ((values - values.mean(0)) ** 2).sum()
    assert variance_explained(values, parcels) == pytest.approx(1 - within / total)


def test_shape_facts_count_pieces(make_planted) -> None:
    graph, _ = make_planted()
    caps = (np.abs(graph.positions[:, 2]) > 30).astype(np.int64)
    facts = shape_facts(caps, graph.adjacency)
    assert facts["n_parcels"] == 2
    assert facts["n_pieces"] == 3


def test_dice_of_the_best_matching() -> None:
    areas = np.repeat([1, 1, 2, 3, 0], 10)
    parcels = np.repeat([5, 6, 6, 7, 8], 10)
    # area 1 takes parcel 5 (2 * 10 / 30), so that area 2 can have parcel 6 (2 * 10 / 30)
    assert matched_dice(parcels, areas) == pytest.approx({1: 2 / 3, 2: 2 / 3, 3: 1.0})
    assert matched_dice(np.ones(50, int), areas)[3] == 0.0


def silhouette_by_loops(values: np.ndarray, parcels: np.ndarray, adjacency: np.ndarray) -> float:
    found = []
    for node in range(len(values)):
        inside = parcels == parcels[node]
        others = {p for p in np.unique(parcels[adjacency[inside].any(axis=0)]) if p != parcels[node]}
        a = np.linalg.norm(values[node] - values[inside].mean(0))
        b = min(np.linalg.norm(values[node] - values[parcels == other].mean(0)) for other in others)
        found.append((b - a) / max(a, b))
    return float(np.mean(found))


def test_silhouette_and_contrast_by_loops(make_planted) -> None:
    graph, _ = make_planted(2)
    rng = np.random.default_rng(0)
    parcels = (graph.positions > 0) @ np.array([1, 2, 4])
    values = rng.normal(size=(8, 3))[parcels] + 0.5 * rng.normal(size=(graph.n_nodes, 3))
    dense = graph.adjacency.toarray() > 0
    assert graph_silhouette(values, parcels, graph.adjacency) == pytest.approx(
        silhouette_by_loops(values, parcels, dense)
    )
    across, within = [], []
    for i, j in np.argwhere(np.triu(dense)):
        (within if parcels[i] == parcels[j] else across).append(np.linalg.norm(values[i] - values[j]))
    assert border_contrast(values, parcels, graph.adjacency) == pytest.approx(np.mean(across) / np.mean(within))


def test_one_parcel_has_neither_silhouette_nor_contrast(make_planted) -> None:
    graph, _ = make_planted(1)
    everything = np.zeros(graph.n_nodes, np.int64)
    assert graph_silhouette(graph.positions, everything, graph.adjacency) == 0.0
    assert border_contrast(graph.positions, everything, graph.adjacency) == 1.0


def test_planted_areas_beat_geometry_inside(make_planted) -> None:
    graph, features = make_planted()
    nodes = np.flatnonzero(graph.is_linked)
    adjacency = graph.adjacency[nodes][:, nodes]
    nulls = make_nulls(graph.annotation, nodes, None, graph.positions[nodes], adjacency, 8, 0, 3, 0)
    values = features[nodes].astype(float)
    some = NodeFeatures(nodes, adjacency, graph.positions[nodes], values, values, np.zeros(len(nodes), bool))
    tilings = [feature_scores(some, tiling) for tiling in nulls.tilings]
    found = internal_scores(some, graph.annotation[nodes].astype(np.int64), tilings)
    assert set(found) == {"variance_explained", "silhouette", "border_contrast"}
    assert all(entry["over_geometry"] > 0.1 for entry in found.values())
