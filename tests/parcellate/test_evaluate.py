"""No score without its null."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from cytomesh.parcellate.evaluate import agreement, scores_over_nulls, shape_facts, variance_explained
from cytomesh.parcellate.nulls import make_nulls


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


def test_each_score_has_its_nulls_and_truth_beats_them(make_planted) -> None:
    graph, _ = make_planted()
    nodes = np.flatnonzero(graph.is_linked)
    adjacency = graph.adjacency[nodes][:, nodes]
    areas = graph.annotation[nodes]
    nulls = make_nulls(graph.annotation, nodes, graph.positions, graph.positions[nodes], adjacency, 8, 6, 3, 0)
    truth = scores_over_nulls(areas.astype(np.int64), areas, nulls)
    assert set(truth) == {"ami", "ari", "nmi", "homogeneity", "completeness"}
    for entry in truth.values():
        assert entry["score"] == pytest.approx(1.0)
        assert entry["over_spin"] == entry["score"] - entry["spin_mean"] > 0.1
        assert entry["over_geometry"] > 0.1
    tiling = scores_over_nulls(nulls.tilings[0], areas, nulls)
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
