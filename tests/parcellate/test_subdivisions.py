"""A planted border inside one area is found; where nothing was planted, nothing stands out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.tables import Table
from cytomesh.parcellate.config import PreparationConfig
from cytomesh.parcellate.features import prepare_features
from cytomesh.parcellate.nulls import make_nulls
from cytomesh.parcellate.subdivisions import candidate_subdivisions, inner_borders


@pytest.fixture(scope="module")
def merged(make_planted):
    """Areas 1 and 2 (if they touch) are one expert area, though their features differ."""
    graph, features = make_planted(3, n_areas=12)
    found = prepare_features(graph, features, PreparationConfig(hops=1, noise_hops=0, impute_hops=0), 4, "test")
    truth = graph.annotation[found.nodes].astype(np.int64)
    adjacency = found.adjacency.tocoo()
    pairs = {(a, b) for a, b in zip(truth[adjacency.row], truth[adjacency.col], strict=True) if a < b}
    one, other = sorted(pairs)[0]
    annotation = np.where(graph.annotation == other, one, graph.annotation)
    coarse = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": annotation}))
    nulls = make_nulls(coarse.annotation, found.nodes, None, found.positions, found.adjacency, 12, 0, 4, 0)
    return coarse, found, truth, nulls.tilings, (int(one), int(other))


def test_the_planted_border_is_the_candidate(merged) -> None:
    graph, found, truth, tilings, pair = merged
    candidates = candidate_subdivisions(graph, found, truth, tilings)
    assert len(candidates) == 1
    best = candidates[0]
    assert best["parcels"] == list(pair)
    assert best["area"] == graph.labels.name(pair[0])
    assert best["effect_sd"] > 1.0
    assert best["p"] < 0.2
    node = best["node"]
    assert [best["x_mm"], best["y_mm"], best["z_mm"]] == pytest.approx(graph.positions[node])
    neighbours = graph.adjacency[node].indices
    assert len(set(truth[np.searchsorted(found.nodes, [node, *neighbours[graph.is_linked[neighbours]]])])) > 1
    assert [place["section"] for place in best["places"]] == [0]


def test_contrast_is_the_distance_of_the_means_near_the_border(merged) -> None:
    _, found, truth, _, pair = merged
    area = np.full(len(truth), 1, np.int32)
    border = next(b for b in inner_borders(found, truth, area) if (b.one, b.other) == pair)
    reach = np.zeros(len(truth), bool)
    reach[border.nodes] = True
    for _ in range(3):
        reach |= (found.adjacency @ reach.astype(float)) > 0
    sides = [found.values[reach & (truth == side)].mean(0) for side in pair]
    assert border.contrast == pytest.approx(np.linalg.norm(sides[0] - sides[1]))


def test_without_areas_there_is_nothing_to_divide(merged) -> None:
    graph, found, truth, tilings, _ = merged
    bare = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": np.zeros(graph.n_nodes, np.int32)}))
    assert candidate_subdivisions(bare, found, truth, tilings) == []
