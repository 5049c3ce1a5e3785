"""Which nodes a half has, and that it knows nothing of the other one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.tables import Table
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.parcellate.config import PreparationConfig
from cytomesh.parcellate.features import prepare_features, select_nodes
from cytomesh.parcellate.split_half import first_half, from_nodes, node_units, noise_features

PREPARATION = PreparationConfig(hops=1, noise_hops=2, impute_hops=1)


@pytest.fixture(scope="module")
def sliced(make_planted):
    """Sections 4 mm apart along y; every third is missing from the stack."""
    graph, features = make_planted()
    section = np.where(graph.is_linked, 3 * np.round((graph.positions[:, 1] + 50) / 4), -1).astype(np.int32)
    graph = replace(graph, nodes=Table({**graph.nodes.columns, "section": section}))
    return graph, select_nodes(graph, features, PREPARATION, 4, "test")


def test_units_are_sections_in_order(sliced) -> None:
    graph, part = sliced
    units, kind = node_units(graph, part)
    assert kind == "sections"
    assert (units[part.is_imputed] == -1).all()
    known = ~part.is_imputed
    assert (np.diff(np.unique(units[known])) == 1).all()
    section = graph.section[part.nodes]
    assert all(len(set(section[units == unit])) == 1 for unit in range(units.max() + 1))


def test_without_sections_units_are_slabs(make_planted) -> None:
    graph, features = make_planted()  # every node names section 0
    part = select_nodes(graph, features, PREPARATION, 4, "test")
    units, kind = node_units(graph, part)
    assert kind == "slabs"
    for unit in range(units.max() + 1):
        assert np.ptp(part.positions[units == unit, 1]) <= 2.0


def test_halves_share_no_section_and_are_drawn_anew(sliced) -> None:
    graph, part = sliced
    units, _ = node_units(graph, part)
    halves = [first_half(units, split, 0) for split in range(3)]
    np.testing.assert_array_equal(halves[0], (units >= 0) & (units % 2 == 0))
    for half in halves:
        assert not set(units[half]) & set(units[(units >= 0) & ~half])
        assert len(set(units[half])) == (units.max() + 2) // 2
        assert not half[units < 0].any()
    assert not np.array_equal(halves[1], halves[2])
    np.testing.assert_array_equal(halves[2], first_half(units, 2, 0))


def test_a_half_knows_nothing_of_the_other(sliced) -> None:
    graph, part = sliced
    units, _ = node_units(graph, part)
    own = first_half(units, 0, 0)
    rng = np.random.default_rng(0)
    other = np.where(own[:, None], part.standardised, rng.normal(size=part.standardised.shape))
    one, two = (from_nodes(replace(part, standardised=rows), own, PREPARATION) for rows in (part.standardised, other))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.standardised[own], part.standardised[own])
    assert np.isfinite(one.values).all()
    np.testing.assert_array_equal(one.nodes, part.nodes)


def test_a_forgotten_node_is_the_mean_of_those_that_are_kept(sliced) -> None:
    _, part = sliced
    own = np.ones(len(part.nodes), bool)
    own[7] = False
    neighbours = part.adjacency[7].indices
    found = from_nodes(part, own, PREPARATION)
    np.testing.assert_allclose(found.standardised[7], part.standardised[neighbours].mean(axis=0))
    np.testing.assert_allclose(found.values, hop_mean(part.adjacency, found.standardised, PREPARATION.hops))


def test_noise_is_no_feature(sliced) -> None:
    _, part = sliced
    one, two = (noise_features(part, PREPARATION, seed) for seed in (1, 2))
    assert one.values.shape == part.values.shape
    assert np.isfinite(one.values).all()
    cross = np.corrcoef(np.hstack([one.standardised, two.standardised, part.standardised]), rowvar=False)
    width = one.standardised.shape[1]
    assert np.abs(cross[:width, width:]).max() < 0.2


def test_an_island_without_a_node_of_the_half_is_average(make_planted) -> None:
    graph, features = make_planted(2, copies=2)
    part = prepare_features(graph, features, PREPARATION, 4, "test")
    own = part.positions[:, 0] < 75.0
    found = from_nodes(part, own, PREPARATION)
    np.testing.assert_array_equal(found.standardised[~own], 0.0)
