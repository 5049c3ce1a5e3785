"""The number of planted areas comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError, GraphError
from cytomesh.core.tables import Table
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.count import best_peak, candidate_counts, choose_count
from cytomesh.parcellate.features import select_nodes
from cytomesh.parcellate.group import join_parts

PLAIN = ["method=ward", "min_nodes=4", "preparation={hops: 1, noise_hops: 2, impute_hops: 0}", "max_parcels=20"]


def group(make_planted, *overrides: str, **options):
    settings = load_config(ParcellateConfig, None, [*PLAIN, *overrides])
    graph, features = make_planted(**options)
    section = np.where(graph.is_linked, np.round((graph.positions[:, 1] + 50) / 4), -1).astype(np.int32)
    graph = replace(graph, nodes=Table({**graph.nodes.columns, "section": section}))
    parts = [select_nodes(graph, features, settings.preparation, settings.min_nodes, "test")]
    return join_parts([graph], parts, settings), [graph], parts, settings, "test"


@pytest.mark.parametrize(("n_areas", "candidates"), [(8, "[3, 5, 8, 12, 20]"), (12, "[4, 8, 12, 17, 24]")])
def test_stability_finds_the_planted_number(make_planted, n_areas, candidates) -> None:
    overrides = ("choose=stability", f"candidates={candidates}")
    found = choose_count(*group(make_planted, *overrides, n_areas=n_areas, noise=1.5, subdivisions=4))
    assert found.k == n_areas
    assert [row["n_parcels"] for row in found.candidates] == json.loads(candidates)
    for row in found.candidates:
        assert row["times_null"] == pytest.approx(row["co_assignment"] / max(row["geometry"], row["noise"]))


@pytest.mark.parametrize(
    ("values", "best"), [([3, 1, 2, 1.5, 1], 2), ([1, 2, 1, 4, 3], 3), ([3, 2, 1], 0), ([1, 2], 1), ([5], 0)]
)
def test_ends_are_no_peaks(values, best) -> None:
    rows = [{"n_parcels": i, "times_null": value} for i, value in enumerate(values)]
    assert best_peak(rows)["n_parcels"] == best


def test_eigengap_is_near_and_a_given_number_is_kept(make_planted) -> None:
    arguments = group(make_planted, "max_parcels=15")
    found = choose_count(*arguments)
    assert 6 <= found.k <= 10
    assert found.candidates == []
    given = arguments[3].model_copy(update={"n_parcels": 7})
    assert choose_count(*arguments[:3], given, "test").k == 7


def test_candidates_fit_the_graph(make_planted) -> None:
    joint, *_, settings, source = group(make_planted, "candidates=[]")
    numbers = candidate_counts(joint.features, settings, source)
    assert (numbers[0], numbers[-1], len(numbers)) == (2, 20, 11)
    impossible = settings.model_copy(update={"candidates": (1, 8, 10_000)})
    with pytest.raises(GraphError, match=r"\[1, 10000\]"):
        candidate_counts(joint.features, impossible, source)


def test_what_cannot_be_divided_has_no_stable_number(make_planted) -> None:
    joint, graphs, parts, settings, source = group(make_planted, "choose=stability")
    bare = replace(
        graphs[0], nodes=Table({**graphs[0].nodes.columns, "section": np.zeros(graphs[0].n_nodes, np.int32)})
    )
    thin = [replace(parts[0], positions=parts[0].positions * [1.0, 0.01, 1.0])]
    with pytest.raises(ConfigError, match="choose: eigengap"):
        choose_count(joint, [bare], thin, settings, source)
