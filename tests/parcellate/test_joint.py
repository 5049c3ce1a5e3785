"""Several graphs as one: which, how they are joined, and parcels that correspond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cytomesh.core.config import load_config
from cytomesh.core.errors import GraphError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.parcellate import joint as joint_module
from cytomesh.parcellate.config import JointConfig, ParcellateConfig, PreparationConfig
from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.features import select_nodes, whiten
from cytomesh.parcellate.joint import (
    connect_in_part,
    group_graphs,
    join_graphs,
    on_sphere,
    refuse_two_hemispheres,
    registered_places,
    similar_nearby,
)
from cytomesh.parcellate.run import parcellate_run
from cytomesh.register.carry import common_places
from cytomesh.surface.mesh import Mesh
from tests.registrations import unit_sphere, write_registration

PREPARATION = PreparationConfig(hops=1, noise_hops=2, n_factors=12, impute_hops=0)
SETTINGS = [
    "n_parcels=8", "min_nodes=4", "preparation={hops: 1, noise_hops: 2, impute_hops: 0}", "n_gradients=3",
    "diffusion={neighbours: 15, n_components: 7}",
    "evaluation={spins: 3, tilings: 2, baselines: [], stability: {splits: 0}}",
]  # fmt: skip


@pytest.fixture(scope="module")
def pair(make_planted):
    """A left hemisphere and its mirror image as the right one, with noise of its own."""
    left, features = make_planted(noise=0.3)
    other = np.random.default_rng(9).normal(size=features.shape).astype(np.float32)
    columns = {**left.nodes.columns, "x_mm": -left.nodes["x_mm"], "ref_x_mm": -left.nodes["ref_x_mm"]}
    mesh = Mesh(left.mesh.vertices * [-1.0, 1.0, 1.0], left.mesh.faces[:, ::-1])
    right = replace(left, hemisphere="R", mesh=mesh, nodes=Table(columns))
    return (left, right), (features, features + 0.3 * other)


@pytest.fixture
def run(pair, tmp_path):
    for graph, features in zip(*pair, strict=True):
        save_graph(tmp_path, graph, {"pial": graph.mesh, "white": graph.mesh, "sphere": graph.mesh}, {})
        save_features(tmp_path, "planted", graph, features, {})
    return tmp_path


def test_groups(pair) -> None:
    left, right = pair[0]
    graphs = [left, right, replace(left, brain="B02"), replace(right, brain="B02")]

    def names(**settings: str) -> list[list[str]]:
        return [[graph.name for graph in group] for group in group_graphs(graphs, JointConfig(**settings))]

    assert [len(group) for group in names()] == [1, 1, 1, 1]
    assert names(hemispheres="mirrored") == [["B01_hemi-L", "B01_hemi-R"], ["B02_hemi-L", "B02_hemi-R"]]
    assert names(brains="joint") == [["B01_hemi-L", "B02_hemi-L"], ["B01_hemi-R", "B02_hemi-R"]]
    assert [len(group) for group in names(hemispheres="joint", brains="joint")] == [4]


def test_pairs_are_near_in_space_and_most_similar() -> None:
    rng = np.random.default_rng(0)
    place, other_place = rng.uniform(0, 10, (40, 3)), rng.uniform(0, 10, (50, 3))
    values, other_values = rng.normal(size=(40, 2)), rng.normal(size=(50, 2))
    settings = JointConfig(radius_mm=4.0, candidates=6, neighbours=2)
    expected = set()
    for i in range(40):
        distance = np.linalg.norm(other_place - place[i], axis=1)
        near = [j for j in np.argsort(distance)[:6] if distance[j] < 4.0]
        near.sort(key=lambda j, i=i: np.linalg.norm(other_values[j] - values[i]))
        expected |= {(i, int(j)) for j in near[:2]}
    found = similar_nearby(place, values, other_place, other_values, settings)
    assert {tuple(row) for row in found.tolist()} == expected


@pytest.mark.parametrize(("hemispheres", "is_linked"), [("mirrored", True), ("joint", False)])
def test_only_mirrored_hemispheres_are_linked(pair, hemispheres, is_linked) -> None:
    graphs, features = pair
    parts = [select_nodes(g, f, PREPARATION, 4, "test") for g, f in zip(graphs, features, strict=True)]
    settings = JointConfig(hemispheres=hemispheres, radius_mm=5.0, candidates=1, neighbours=1)
    joint = join_graphs(graphs, whiten(parts, PREPARATION), settings)
    n = len(parts[0].nodes)
    between = joint.features.adjacency[:n][:, n:]
    assert abs(joint.features.adjacency - joint.features.adjacency.T).max() == 0
    assert (abs(joint.features.adjacency[:n][:, :n] - parts[0].adjacency)).max() == 0
    if is_linked:  # every node with its mirror image
        np.testing.assert_array_equal(between.toarray(), np.eye(n))
    else:
        assert between.nnz == 0
    assert [len(part) for part in joint.split(np.arange(2 * n))] == [n, n]


def test_shares_are_connected_and_keep_their_labels(pair) -> None:
    graphs, features = pair
    part = select_nodes(graphs[0], features[0], PREPARATION, 4, "test")
    labels = np.random.default_rng(0).integers(3, 40, len(part.nodes))
    labels[part.positions[:, 2] < 0] = 7
    found = connect_in_part(labels, part, 3, 40)
    assert set(found) <= set(labels)
    assert pieces(found, part.adjacency).max() + 1 == len(np.unique(found))
    assert (found[part.positions[:, 2] < -10] == 7).all()
    np.testing.assert_array_equal(connect_in_part(found, part, 3, 40), found)


@pytest.mark.parametrize("seed", range(12))
def test_shares_with_pieces_of_one_size_are_connected(make_planted, seed) -> None:
    graph, features = make_planted(1)
    part = select_nodes(graph, features, PREPARATION, 4, "test")
    labels = np.random.default_rng(seed).integers(2, 8, len(part.nodes))  # many pieces of one or two nodes
    found = connect_in_part(labels, part, 1, 40)
    assert set(found) == set(labels)
    assert pieces(found, part.adjacency).max() + 1 == len(np.unique(found))


def test_an_island_of_other_pieces_is_a_parcel_of_its_own(make_planted) -> None:
    graph, features = make_planted(1, n_areas=3, copies=2)
    part = select_nodes(graph, features, PREPARATION, 4, "test")
    is_second = part.positions[:, 0] > 75.0
    found = connect_in_part(np.full(len(is_second), 3), part, 1, 40)
    assert [set(found[is_second]), set(found[~is_second])] in ([{3}, {40}], [{40}, {3}])


@pytest.mark.parametrize("method", ["diffusion", "ward", "spectral"])
def test_mirrored_parcels_correspond(run, method) -> None:
    settings = load_config(ParcellateConfig, None, [*SETTINGS, f"method={method}", "joint.hemispheres=mirrored"])
    parcellate_run(run, "both", settings)
    left, right = (read_table(run / "parcellate" / "both" / f"{graph.name}.parquet") for graph in load_graphs(run))
    same = (left["parcel"] > 0) & (right["parcel"] > 0)
    assert np.mean(left["parcel"][same] == right["parcel"][same]) > 0.85
    assert adjusted_rand_score(left["annotation"][same], left["parcel"][same]) > 0.6
    # gradients are turned onto each other
    both = [side["gradient_1"][same] for side in (left, right)]
    assert np.corrcoef(*both)[0, 1] > 0.9


def test_joint_hemispheres_share_no_parcel(run) -> None:
    settings = load_config(ParcellateConfig, None, [*SETTINGS, "n_parcels=16", "joint.hemispheres=joint"])
    parcellate_run(run, "both", settings)
    left, right = (read_table(run / "parcellate" / "both" / f"{graph.name}.parquet") for graph in load_graphs(run))
    assert not set(left["parcel"][left["parcel"] > 0]) & set(right["parcel"])


def test_coarser_levels_are_nested(run) -> None:
    settings = load_config(ParcellateConfig, None, [*SETTINGS, "hierarchy=[3, 5]"])
    parcellate_run(run, "levels", settings)
    rows = read_table(run / "parcellate" / "levels" / "B01_hemi-L.parquet")
    for coarse, fine in (("parcel_5", "parcel"), ("parcel_3", "parcel_5")):
        assert set(rows[coarse]) == set(range(int(coarse[-1]) + 1))
        assert all(len(np.unique(rows[coarse][rows[fine] == parcel])) == 1 for parcel in np.unique(rows[fine]))
    with pytest.raises(GraphError, match="hierarchy"):
        parcellate_run(run, "levels", load_config(ParcellateConfig, None, [*SETTINGS, "hierarchy=[9]"]))


def test_two_hemispheres_given_as_one_are_refused(make_planted) -> None:
    graph, _ = make_planted(2, copies=2)
    refuse_two_hemispheres(graph)  # two blocks of tissue on one side
    both = replace(graph, nodes=Table({**graph.nodes.columns, "ref_x_mm": graph.nodes["ref_x_mm"] - 75.0}))
    with pytest.raises(GraphError, match="one hemisphere"):
        refuse_two_hemispheres(both)


def test_the_other_graph_is_done_again_with_the_first(run) -> None:
    settings = load_config(ParcellateConfig, None, [*SETTINGS, "joint.hemispheres=mirrored"])
    parcellate_run(run, "both", settings)
    markers = [run / "parcellate" / "both" / f"B01_hemi-{side}.json" for side in "LR"]
    before = [read_json(marker) for marker in markers]
    markers[1].unlink()  # as if killed in between
    parcellate_run(run, "both", settings)
    assert [read_json(marker) for marker in markers] == before


def test_brains_are_joined_on_the_registered_sphere(make_planted, tmp_path, monkeypatch) -> None:
    """One brain's reference positions are turned far away: only the sphere says what corresponds."""
    one, features = make_planted(noise=0.3)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = one.reference @ turn.T
    columns = {**one.nodes.columns, **{f"ref_{axis}_mm": turned[:, i] for i, axis in enumerate("xyz")}}
    two = replace(one, brain="B02", nodes=Table(columns))
    other = features + 0.3 * np.random.default_rng(9).normal(size=features.shape).astype(np.float32)
    for graph, values in ((one, features), (two, other)):
        save_graph(tmp_path, graph, {"pial": graph.mesh, "white": graph.mesh, "sphere": graph.mesh}, {})
        save_features(tmp_path, "planted", graph, values, {})
    settings = [*SETTINGS, "joint.brains=joint"]
    parcellate_run(tmp_path, "by-place", load_config(ParcellateConfig, None, settings))
    with pytest.raises(MissingStageError, match="no such registration"):
        parcellate_run(tmp_path, "by-sphere", load_config(ParcellateConfig, None, [*settings, "joint.registration=r"]))
    write_registration(tmp_path, "r", {graph.name: unit_sphere(graph.mesh) for graph in (one, two)})
    read = []
    monkeypatch.setattr(joint_module, "common_places", lambda *words: (read.append(words), common_places(*words))[1])
    parcellate_run(tmp_path, "by-sphere", load_config(ParcellateConfig, None, [*settings, "joint.registration=r"]))
    assert len(read) == 1  # for the choice of a method, the groups and the agreement of brains
    partners = {}
    for name, registration in (("by-place", None), ("by-sphere", "r")):
        parts = [
            select_nodes(graph, values, PREPARATION, 4, graph.name) for graph, values in ((one, features), (two, other))
        ]
        if registration:
            spheres = on_sphere(tmp_path, JointConfig(registration=registration), (one, two))
            places = registered_places((one, two), spheres)
            parts = [replace(part, places=of[part.nodes]) for part, of in zip(parts, places, strict=True)]
        joint = join_graphs((one, two), whiten(parts, PREPARATION), JointConfig(brains="joint", radius_mm=5.0))
        n = len(parts[0].nodes)
        first, second = joint.features.adjacency[:n, n:].nonzero()
        ends = one.mesh.vertices[parts[0].nodes[first]], two.mesh.vertices[parts[1].nodes[second]]
        partners[name] = np.linalg.norm(ends[0] - ends[1], axis=1)
    assert np.percentile(partners["by-sphere"], 95) < 10  # the brains have one shape
    assert np.median(partners["by-place"]) > 10
    brains = read_json(tmp_path / "parcellate" / "by-sphere" / "metrics.json")["brains"]
    assert brains[0]["n_nodes"] == len(parts[0].nodes)  # each has a partner
