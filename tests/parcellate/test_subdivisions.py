"""A planted border inside one area is found; where nothing was planted, nothing stands out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cytomesh.core.tables import Table
from cytomesh.parcellate.baselines import voronoi_parcels
from cytomesh.parcellate.config import ParcellateConfig, PreparationConfig
from cytomesh.parcellate.features import prepare_features, select_nodes
from cytomesh.parcellate.group import join_parts, parcellate_joint
from cytomesh.parcellate.nulls import make_nulls
from cytomesh.parcellate.stability import noise_joint
from cytomesh.parcellate.subdivisions import adjusted_p, candidate_subdivisions, inner_borders


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
    assert best["p"] is None  # nothing to compare with
    node = best["node"]
    assert [best["x_mm"], best["y_mm"], best["z_mm"]] == pytest.approx(graph.positions[node])
    neighbours = graph.adjacency[node].indices
    assert len(set(truth[np.searchsorted(found.nodes, [node, *neighbours[graph.is_linked[neighbours]]])])) > 1
    assert [place["section"] for place in best["places"]] == [0]


def test_nodes_without_pixels_are_no_places_to_look_at(merged) -> None:
    graph, found, truth, tilings, _ = merged
    nowhere = dict.fromkeys(("column_px", "row_px"), np.full(graph.n_nodes, np.nan))
    own = replace(graph, nodes=Table({**graph.nodes.columns, **nowhere}))
    (candidate,) = candidate_subdivisions(own, found, truth, tilings)
    assert candidate["places"] == []


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


def candidates_by_the_stage(graph, raw, k, settings):
    """As `parcellate` does it: the same method on the features and on random numbers."""
    part = select_nodes(graph, raw, settings.preparation, settings.min_nodes, "test")
    tilings = [voronoi_parcels(part.positions, part.adjacency, k, seed) for seed in range(3)]
    joint, random = join_parts([graph], [part], settings), noise_joint([graph], [part], 0, settings)
    parcels, labels = (parcellate_joint(some, k, settings, "test").labels[0] for some in (joint, random))
    noise = [(random.parts[0].values, labels)]
    return candidate_subdivisions(graph, joint.parts[0], parcels, tilings, noise), joint.parts[0], parcels


def test_nothing_stands_out_of_random_numbers(make_planted) -> None:
    """In about one run of twenty at most, some border has p <= 0.05; also with more features than factors are kept."""
    graph, _ = make_planted(3, n_areas=4)
    lowest = []
    for seed in range(90):
        settings = ParcellateConfig(
            seed=seed, method="diffusion" if seed % 3 == 0 else "ward", min_nodes=5, preparation={"n_factors": 12}
        )
        raw = np.random.default_rng(seed).normal(size=(graph.n_nodes, 30 if seed % 2 else 8))
        found, _, _ = candidates_by_the_stage(graph, raw.astype(np.float32), 12, settings)
        assert len(found) > 5  # there is something to look at
        lowest.append(min(entry["p"] for entry in found))
    assert sum(p <= 0.05 for p in lowest) <= stats.binom.ppf(0.999, len(lowest), 0.05)
    # and no more careful than it has to be
    assert sum(p <= 0.5 for p in lowest) > 0.1 * len(lowest)


def test_a_planted_subdivision_stands_out(make_planted) -> None:
    graph, raw = make_planted(4, n_areas=12, noise=1.0)
    truth = graph.annotation
    edges = graph.adjacency.tocoo()
    between = (truth[edges.row] > 0) & (truth[edges.row] < truth[edges.col])
    pairs, lengths = np.unique(np.c_[truth[edges.row], truth[edges.col]][between], axis=0, return_counts=True)
    one, other = pairs[np.argmax(lengths)]
    merged = np.where(truth == other, one, truth)
    coarse = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": merged}))
    found, part, parcels = candidates_by_the_stage(coarse, raw, 12, ParcellateConfig(method="ward", min_nodes=5))
    best = min(found, key=lambda entry: entry["p"])
    assert best["p"] <= 0.01
    assert best["area"] == graph.labels.name(one)
    sides = [np.bincount(truth[part.nodes[parcels == parcel]]).argmax() for parcel in best["parcels"]]
    assert set(sides) == {one, other}


def test_p_is_student_s_share_after_holm() -> None:
    random = np.random.default_rng(0)
    by_noise, ratios = random.normal(0.2, 0.3, 25), np.sort(random.normal(0.6, 0.4, 9))[::-1]
    expected: list[float] = []
    for rank, ratio in enumerate(ratios):
        statistic = (ratio - by_noise.mean()) / (by_noise.std(ddof=1) * np.sqrt(1 + 1 / 25))
        step = (len(ratios) - rank) * (1 - stats.t.cdf(statistic, 24))
        expected.append(min(1.0, max([step, *expected])))
    assert adjusted_p(ratios, by_noise) == pytest.approx(expected)
    assert adjusted_p(ratios, by_noise[:1]) == [None] * 9
