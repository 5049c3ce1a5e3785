"""Cards say what is in a parcel; the graph says what it touches."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from cytomesh.core.files import read_json, write_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table
from cytomesh.parcellate.config import PreparationConfig
from cytomesh.parcellate.features import prepare_features
from cytomesh.parcellate.parcel_summary import parcel_graph, parcel_summaries, write_graphml


@pytest.fixture(scope="module")
def halves(make_planted):
    """A sphere cut in three by x: two planes at -20 and 20 mm."""
    graph, features = make_planted()
    found = prepare_features(graph, features, PreparationConfig(hops=0, impute_hops=0), 4, "test")
    parcels = 1 + (found.positions[:, 0] > -20.0).astype(np.int64) + (found.positions[:, 0] > 20.0)
    cards = parcel_summaries(graph, found, parcels, LabelTable.from_names(["left", "middle", "right"]))
    return graph, found, parcels, cards


def test_a_card_counts_what_is_there(halves) -> None:
    graph, found, parcels, cards = halves
    assert [card["name"] for card in cards] == ["left", "middle", "right"]
    for card in cards:
        inside = parcels == card["parcel"]
        areas = graph.annotation[found.nodes][inside]
        assert card["n_nodes"] == inside.sum()
        assert card["area_mm2"] == pytest.approx(graph.mesh.vertex_areas[found.nodes[inside]].sum())
        assert inside[np.searchsorted(found.nodes, card["central_node"])]
        assert card["profile"] == pytest.approx(found.standardised[inside].mean(0), abs=1e-4)
        assert card["n_annotated"] == (areas > 0).sum()
        first = card["overlaps"][0]
        assert first["share"] == pytest.approx(np.bincount(areas)[1:].max() / (areas > 0).sum())
        assert graph.labels.index(first["area"]) == 1 + np.bincount(areas)[1:].argmax()


def test_a_parcel_that_is_an_area_is_most_similar_to_it(halves) -> None:
    graph, found, _, _ = halves
    areas = graph.annotation[found.nodes].astype(np.int64)
    for card in parcel_summaries(graph, found, areas, graph.labels):
        assert card["most_similar"][0] == {"area": card["name"], "distance": 0.0}


def test_touching_parcels_are_joined(halves, tmp_path) -> None:
    _, found, parcels, cards = halves
    graph = parcel_graph(found, parcels, cards)
    assert set(graph.edges) == {(1, 2), (2, 3)}
    # a plane at 20 mm cuts a sphere of 50 mm in a circle; borders zigzag along the mesh
    circle = 2 * np.pi * np.sqrt(50**2 - 20**2)
    assert circle < graph.edges[1, 2]["border_mm"] < 1.3 * circle
    write_graphml(tmp_path / "parcels.graphml", graph)
    again = nx.read_graphml(tmp_path / "parcels.graphml", node_type=int)
    assert again.nodes[2]["name"] == "middle"
    assert again.edges[2, 3] == pytest.approx(graph.edges[2, 3])


def test_similarity_stands_beside_parcels_of_geometry(halves) -> None:
    _, found, parcels, _ = halves
    graph = halves[0]
    random = [np.random.default_rng(seed).integers(6, size=len(parcels)) for seed in range(2)]
    confidence = np.linspace(0, 1, len(parcels))
    areas = graph.annotation[found.nodes].astype(np.int64)
    cards = parcel_summaries(graph, found, areas, graph.labels, random, confidence)
    by_chance = np.array([found.values[labels == c].mean(0) for labels in random for c in range(6)])
    for card in cards:
        inside = areas == card["parcel"]
        assert card["confidence"] == pytest.approx(confidence[inside].mean())
        null = np.linalg.norm(found.values[inside].mean(0) - by_chance, axis=1)
        # a parcel that is the area lies at no distance from it
        first = card["most_similar"][0]
        assert first["area"] == card["name"]
        assert first["over_null"] == pytest.approx(null.mean() / null.std(ddof=1))


def test_areas_stay_in_order_on_disk(halves, tmp_path) -> None:
    graph, found, parcels, cards = halves
    areas = graph.annotation[found.nodes]
    write_json(tmp_path / "cards.json", cards)
    in_order = []
    for card in read_json(tmp_path / "cards.json"):
        inside = parcels == card["parcel"]
        middle = found.values[inside].mean(0)
        apart = {a: np.linalg.norm(found.values[areas == a].mean(0) - middle) for a in np.unique(areas[areas > 0])}
        expected = [graph.labels.name(int(a)) for a in sorted(apart, key=apart.get)[:3]]
        assert [entry["area"] for entry in card["most_similar"]] == expected
        shares = [entry["share"] for entry in card["overlaps"]]
        assert shares == sorted(shares, reverse=True)
        in_order.append(expected == sorted(expected))
    assert not all(in_order)  # by name would be another order


def test_overlaps_are_shares_of_the_annotated_nodes(halves) -> None:
    """Half of the sphere without annotation: what lies in the other half adds up to one."""
    graph, found, parcels, _ = halves
    annotation = np.where(graph.positions[:, 1] > 10.0, 0, graph.annotation)
    annotation[graph.positions[:, 0] > 20.0] = 0  # the right parcel has none at all
    sparse = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": annotation}))
    cards = parcel_summaries(sparse, found, parcels, LabelTable.from_names(["left", "middle", "right"]))
    for card in cards[:2]:
        areas = annotation[found.nodes][parcels == card["parcel"]]
        count = np.bincount(areas[areas > 0])
        assert 0 < card["n_annotated"] == count.sum() < card["n_nodes"]
        expected = np.sort(count[count > 0])[::-1][:3] / count.sum()
        assert [entry["share"] for entry in card["overlaps"]] == pytest.approx(expected.tolist())
    assert cards[2]["n_annotated"] == 0
    assert cards[2]["overlaps"] == []
