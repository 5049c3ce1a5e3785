"""Planted parcels come back in the other half; noise does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.config import load_config
from cytomesh.core.tables import Table
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.features import select_nodes
from cytomesh.parcellate.group import join_parts, parcellate_joint
from cytomesh.parcellate.nulls import make_nulls
from cytomesh.parcellate.stability import beside_nulls, confidence, make_replicates, stability_scores

SETTINGS = load_config(
    ParcellateConfig,
    None,
    [
        "method=ward",
        "min_nodes=4",
        "preparation={hops: 1, noise_hops: 2}",
        "evaluation.stability={splits: 2, nulls: 2}",
    ],
)


def with_sections(graph, spacing_mm: float = 4.0):
    section = np.where(graph.is_linked, np.round((graph.positions[:, 1] + 50) / spacing_mm), -1).astype(np.int32)
    return replace(graph, nodes=Table({**graph.nodes.columns, "section": section}))


@pytest.fixture(scope="module")
def repeated(make_planted):
    graph, features = make_planted(noise=0.3)
    graph = with_sections(graph)
    part = select_nodes(graph, features, SETTINGS.preparation, 4, "test")
    parcels = parcellate_joint(join_parts([graph], [part], SETTINGS), 8, SETTINGS, "test").labels[0]
    (replicates,) = make_replicates([graph], [part], 8, SETTINGS, "test")
    nulls = make_nulls(graph.annotation, part.nodes, None, part.positions, part.adjacency, 8, 0, 3, 0)
    return graph, part, parcels, replicates, nulls.tilings


def test_what_was_planted_comes_back_and_noise_does_not(repeated) -> None:
    _, _, parcels, replicates, tilings = repeated
    scores = stability_scores(parcels, replicates, tilings)
    assert scores["units"] == "sections"
    assert scores["n_splits"] == len(replicates.halves) == 2
    for kind in ("halves", "parcels"):
        for name in ("ami", "ari", "co_assignment"):
            entry = scores[kind][name]
            assert entry["score"] > 0.6
            assert entry["over_noise"] == pytest.approx(entry["score"] - entry["noise_mean"])
            assert entry["over_noise"] > 0.15
            assert entry["over_geometry"] > 0.15
    assert scores["parcels"]["co_assignment"]["score"] == pytest.approx(confidence(parcels, replicates).mean())


def test_features_that_are_noise_score_no_more_than_noise(make_planted) -> None:
    graph, features = make_planted()
    graph = with_sections(graph)
    random = np.random.default_rng(5).normal(size=features.shape)
    part = select_nodes(graph, random, SETTINGS.preparation, 4, "test")
    parcels = parcellate_joint(join_parts([graph], [part], SETTINGS), 8, SETTINGS, "test").labels[0]
    (replicates,) = make_replicates([graph], [part], 8, SETTINGS, "test")
    scores = stability_scores(parcels, replicates, ())
    assert abs(scores["halves"]["ami"]["over_noise"]) < 0.12
    assert not any("geometry" in key for key in scores["halves"]["ami"])


def test_confidence_is_lowest_at_borders(repeated) -> None:
    graph, part, parcels, replicates, _ = repeated
    found = confidence(parcels, replicates)
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    i, j = part.adjacency.nonzero()
    areas = graph.annotation[part.nodes]
    at_border = np.zeros(len(parcels), bool)
    at_border[i[areas[i] != areas[j]]] = True
    assert found[at_border].mean() < found[~at_border].mean()


def test_same_seed_same_replicates(repeated) -> None:
    graph, part, _, replicates, _ = repeated
    (again,) = make_replicates([graph], [part], 8, SETTINGS, "test")
    np.testing.assert_array_equal(np.array(again.halves), np.array(replicates.halves))
    np.testing.assert_array_equal(np.array(again.noise_labels), np.array(replicates.noise_labels))
    for (values, labels), (others, _) in zip(again.noise, replicates.noise, strict=True):
        np.testing.assert_array_equal(values, others)
        assert len(values) == len(labels) == len(part.nodes)


def test_nothing_is_repeated_unasked_or_on_a_sliver(repeated) -> None:
    graph, part, _, _, _ = repeated
    off = load_config(ParcellateConfig, None, ["evaluation.stability.splits=0"])
    assert make_replicates([graph], [part], 8, off, "test") is None
    thin = replace(part, positions=part.positions * [1.0, 0.01, 1.0])
    one_section = replace(graph, nodes=Table({**graph.nodes.columns, "section": np.zeros(graph.n_nodes, np.int32)}))
    assert make_replicates([one_section], [thin], 8, SETTINGS, "test") is None


def test_scores_beside_nulls() -> None:
    rows = {
        "": [{"a": 0.5, "b": 1.0}, {"a": 0.7, "b": 1.0}],
        "noise": [{"a": 0.1}, {"a": 0.3}],
        "geometry": [{"a": 0.4}],
    }
    found = beside_nulls(rows)
    assert set(found) == {"a"}  # b has no null
    assert found["a"] == pytest.approx(
        {
            "score": 0.6,
            "noise_mean": 0.2,
            "over_noise": 0.4,
            "noise_sd": np.std([0.1, 0.3], ddof=1),
            "geometry_mean": 0.4,
            "over_geometry": 0.2,
        }
    )
