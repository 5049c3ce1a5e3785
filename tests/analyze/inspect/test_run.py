"""The stage on run directories, through the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.inspect.config import InspectConfig
from cytomesh.analyze.inspect.figures import write_figures
from cytomesh.analyze.inspect.run import inspect_run
from cytomesh.analyze.inspect.separation import cosine_silhouettes
from cytomesh.analyze.inspect.similarity import area_similarity
from cytomesh.analyze.measures import save_measures
from cytomesh.analyze.variation import variation_run
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.report.inspection import inspect_part
from cytomesh.report.status import run_status
from tests.conftest import sphere_graph

CONFIGS = Path(__file__).parents[3] / "configs" / "inspect"


def write_run(folder, hemispheres=("B01 L", "B01 R", "B02 L"), n_areas=6):
    """Features of some noise, of the area, and a little of the brain; not a number where there is no link."""
    random = np.random.default_rng(0)
    of_area = random.normal(size=(n_areas + 1, 12))
    for place in hemispheres:
        brain, hemisphere = place.split()
        graph = sphere_graph(brain, hemisphere, n_areas=n_areas)
        save_graph(folder, graph, {"sphere": graph.mesh}, {})
        features = of_area[graph.annotation] + 0.5 * random.normal(size=(graph.n_nodes, 12))
        features[:, 0] += 1.5 * int(brain[-1])
        features[~graph.is_linked] = np.nan
        save_features(folder, "cnn", graph, features.astype(np.float32), {})
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("inspect"))
    lobes = {"A05": "front", "A01": "back", "A02": "front"}
    colours = {"method": "pca", "n_nodes": 300, "colour_by": ["area", "brain", "ref_x_mm"]}
    summary = inspect_run(run, "one", settings(spins=3, lobes=lobes, map=colours))
    return run, summary, read_json(run / "analyze" / "one" / "metrics.json")


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def settings(**given):
    few = {"method": "pca", "n_nodes": 300, "colour_by": ["area"]}  # colourings are drawn, which takes its time
    return InspectConfig.model_validate({"map": few, **given})


def linked(run):
    graphs = load_graphs(run)
    masks = [graph.is_linked for graph in graphs]
    features = np.concatenate([np.load(run / "features" / "cnn" / f"{graph.name}.npy") for graph in graphs])
    return graphs, np.concatenate(masks), features[np.concatenate(masks)]


def test_every_setting_file_loads():
    paths = sorted(CONFIGS.glob("*.yaml"))
    assert paths
    for path in paths:
        assert load_config(InspectConfig, path).map.n_nodes >= 10


def test_areas_are_told_apart_and_rotated_areas_are_not(finished):
    _, summary, metrics = finished
    area, brain = metrics["separation"]["area"], metrics["separation"]["brain"]
    assert area["n_groups"] == 6 and area["accuracy"] > 0.9 and area["silhouette"] > 0.2
    assert area["accuracy_null"]["mean"] < 0.7 and area["accuracy_null"]["p"] == pytest.approx(0.25)
    assert area["silhouette_null"]["mean"] < 0.1
    assert brain["chance"] == 0.5 and brain["accuracy"] > 0.6 and brain["silhouette"] < 0.1
    found = metrics["correspondence"]
    assert found["same_area"] > 0.9 > 0.4 > found["same_area_chance"]
    assert found["distance_mm"] < found["distance_chance_mm"]
    assert summary["area: accuracy"] == area["accuracy"]


def test_silhouettes_are_measures_of_nodes(finished):
    run, _, metrics = finished
    graphs, _, features = linked(run)
    area = np.concatenate([graph.annotation[graph.is_linked] for graph in graphs])
    stored = np.concatenate(
        [
            read_table(run / "analyze" / "one" / "nodes" / f"{graph.name}.parquet")["area_silhouette"][graph.is_linked]
            for graph in graphs
        ]
    )
    np.testing.assert_allclose(stored, cosine_silhouettes(features, area))
    assert metrics["separation"]["area"]["silhouette"] == pytest.approx(stored.mean())
    given = {"targets": ["one:brain_silhouette"], "components": [2]}
    assert "cnn: one:brain_silhouette" in variation_run(run, "of-it", VariationConfig.model_validate(given))


def test_the_matrix_is_ordered_by_hemisphere_lobe_and_label(finished):
    run, _, metrics = finished
    names = [area["name"] for area in metrics["similarity"]["areas"]]
    one_side = ["A02", "A05", "A01", "A03", "A04", "A06"]
    assert names == [f"L {name}" for name in one_side] + [f"R {name}" for name in one_side]
    assert [area["lobe"] for area in metrics["similarity"]["areas"]][:4] == ["front", "front", "back", ""]
    graphs, _, features = linked(run)
    areas = [f"{graph.hemisphere} A{area:02d}" for graph in graphs for area in graph.annotation[graph.is_linked]]
    brains = np.concatenate([np.repeat(graph.brain, graph.is_linked.sum()) for graph in graphs])
    expected = area_similarity(features, np.array([names.index(area) + 1 for area in areas]), brains)
    table = read_table(run / "analyze" / "one" / "similarity.parquet")
    assert table["area_a"][12] == names[1] and table["area_b"][12] == names[0]
    for column, values in (("mean", "mean"), ("within_brains", "within"), ("between_brains", "between")):
        np.testing.assert_allclose(table[column].reshape(12, 12), getattr(expected, values))


def test_neighbours_of_examples_lie_in_other_brains(finished):
    run, _, _ = finished
    shown = read_table(run / "analyze" / "one" / "examples.parquet")
    pairs = read_table(run / "analyze" / "one" / "neighbours.parquet")
    assert shown["is_example"].sum() == 8 and len(set(shown["area"][shown["is_example"]])) == 4
    assert len(pairs) == 16
    brain = shown["brain"]
    assert (brain[pairs["example"]] != brain[pairs["neighbour"]]).all()
    assert (shown["area"][pairs["example"]] == shown["area"][pairs["neighbour"]]).mean() > 0.8
    assert (np.diff(pairs["similarity"].reshape(8, 2), axis=1) <= 0).all()
    assert read_json(run / "analyze" / "one" / "metrics.json")["notes"] == [
        "no patches: cnn is no encoder of this run (examples.encoder may name another)"
    ]


def test_the_map_carries_what_it_is_coloured_by(run):
    for graph in load_graphs(run):
        depth = np.where(graph.is_linked, graph.positions[:, 2] / 10, np.nan)
        save_measures(run / "analyze" / "sulci", graph, {"depth_mm": depth}, {"depth_mm": "mm"})
    colours = ["brain", "area", "ref_x_mm", "sulci:depth_mm"]
    inspect_run(run, "x", settings(map={"method": "pca", "n_nodes": 90, "colour_by": colours}))
    table = read_table(run / "analyze" / "x" / "map.parquet")
    assert list(table.columns) == ["graph", "node", "x", "y", *colours] and len(table) == 90
    graphs = {graph.name: graph for graph in load_graphs(run)}
    for row in range(90):
        graph, node = graphs[table["graph"][row]], table["node"][row]
        assert table["area"][row] == graph.labels.name(graph.annotation[node]) and table["brain"][row] == graph.brain
        assert table["ref_x_mm"][row] == pytest.approx(graph.mirrored_reference[node, 0])
        assert table["sulci:depth_mm"][row] == pytest.approx(graph.positions[node, 2] / 10)
    assert table.units["ref_x_mm"] == "mm"


def test_the_command_writes_a_page_keeps_what_is_current_and_notices_other_features(run, cytomesh):
    words = ("inspect", "--out", run, "--set", "map={method: pca, n_nodes: 100, colour_by: [brain]}", "--json")
    code, out, _ = cytomesh(*words)
    assert code == 0 and json.loads(out)["nodes"] > 1000
    folder = run / "analyze" / "inspect"
    assert "Feature space: inspect" in (folder / "inspect.html").read_text()
    assert json.loads(out)["page"] == str(folder / "inspect.html")
    written = (folder / "metrics.json").stat().st_mtime_ns
    assert cytomesh(*words)[0] == 0
    assert (folder / "metrics.json").stat().st_mtime_ns == written
    assert {status.product: status.state for status in run_status(run)}["analyze/inspect"] == "done"
    graph = load_graphs(run)[0]
    save_features(run, "cnn", graph, np.where(graph.is_linked[:, None], graph.positions[:, :1], np.nan), {})
    assert {status.product: status.state for status in run_status(run)}["analyze/inspect"] == "stale"


def test_the_same_seed_gives_the_same_numbers(run):
    wanted = settings(map={"method": "tsne", "n_nodes": 60, "colour_by": ["area"]})
    for name in ("a", "b"):
        inspect_run(run, name, wanted)
    for file in ("map", "similarity", "neighbours"):
        first, second = (read_table(run / "analyze" / name / f"{file}.parquet") for name in "ab")
        for column in first.columns:
            np.testing.assert_array_equal(first[column], second[column])


def test_the_mean_is_subtracted_if_so_wanted(run):
    for name, is_centred in (("raw", False), ("centred", True)):
        inspect_run(run, name, settings(centred=is_centred))
    _, _, features = linked(run)
    area = np.concatenate([graph.annotation[graph.is_linked] for graph in load_graphs(run)])
    expected = cosine_silhouettes(features - features.mean(axis=0), area).mean()
    found = {name: read_json(run / "analyze" / name / "metrics.json") for name in ("raw", "centred")}
    assert found["centred"]["separation"]["area"]["silhouette"] == pytest.approx(expected, abs=1e-5)
    assert found["raw"]["separation"]["area"]["silhouette"] == pytest.approx(cosine_silhouettes(features, area).mean())


def test_what_is_current_is_not_computed_again_and_features_are_not_read_for_it(run):
    first = inspect_run(run, "x", settings())
    facts = run / "features" / "cnn" / "B01_hemi-L.json"
    written = facts.read_bytes()
    facts.unlink()  # without it, features are not read
    assert inspect_run(run, "x", settings()) == first
    with pytest.raises(MissingStageError, match="no features"):
        inspect_run(run, "x", settings(seed=1))
    facts.write_bytes(written)
    assert not (run / "analyze" / ".next-x").exists()  # nothing was begun
    assert inspect_run(run, "x", settings()) == first


def test_features_of_one_column_have_no_directions(run):
    for graph in load_graphs(run):
        save_features(run, "cnn", graph, np.where(graph.is_linked, 2.0, np.nan)[:, None] + graph.positions[:, :1], {})
    with pytest.raises(FeatureError, match=r"features: cnn: found one column, expected two or more.*variation"):
        inspect_run(run, "x", settings())


def test_figures_for_print_show_what_the_tables_hold(finished):
    run, _, metrics = finished
    folder = run / "analyze" / "one"
    names = {path.name for path in folder.glob("*.svg")}
    assert names == {"map.svg", "similarity.svg"}
    matrix, cloud = ((folder / f"{name}.svg").read_text() for name in ("similarity", "map"))
    assert all(matrix.count(f">{area['name']}<") >= 3 for area in metrics["similarity"]["areas"])
    assert all(f">{words}<" in matrix for words in ("within brains", "between brains", "mean cosine similarity"))
    assert all(f">{words}<" in cloud for words in ("area", "brain", "B02", "principal component 1"))
    before = {name: (folder / name).read_bytes() for name in names}
    write_figures(folder, metrics)
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_a_single_brain_with_one_area_is_mapped_and_the_rest_is_said(tmp_path):
    run = write_run(tmp_path / "run", ["B01 L"], n_areas=1)
    inspect_run(run, "x", settings())
    metrics = read_json(run / "analyze" / "x" / "metrics.json")
    assert metrics["separation"] == {} and metrics["similarity"] is None and metrics["correspondence"] is None
    assert {"one brain: no neighbours in others", "one brain among the linked nodes: nothing to tell apart"} < set(
        metrics["notes"]
    )
    assert "one area among the linked nodes: nothing to tell apart" in metrics["notes"]
    assert len(read_table(run / "analyze" / "x" / "neighbours.parquet")) == 0
    assert len(read_table(run / "analyze" / "x" / "map.parquet")) == 300


def test_nodes_that_are_named_are_shown_first(run):
    graph = load_graphs(run)[1]
    node = int(np.flatnonzero(graph.is_linked)[7])
    wanted = settings(examples={"nodes": [f"{graph.name}:{node}"], "areas": ["A03"], "per_area": 1})
    inspect_run(run, "x", wanted)
    shown = read_table(run / "analyze" / "x" / "examples.parquet")
    assert (shown["graph"][0], shown["node"][0]) == (graph.name, node)
    assert shown["is_example"].sum() == 2 and shown["area"][1] == "A03"


def test_what_is_not_there_is_named(run, tmp_path):
    with pytest.raises(ConfigError, match=r"map\.colour_by: thicknes_mm: .*did you mean 'thickness_mm'"):
        inspect_run(run, "x", settings(map={"colour_by": ["thicknes_mm"]}))
    with pytest.raises(ConfigError, match=r"map\.colour_by: arae: .*did you mean 'area'"):
        inspect_run(run, "x", settings(map={"colour_by": ["arae"]}))
    with pytest.raises(ConfigError, match=r"no column of numbers 'link_reason'"):
        inspect_run(run, "x", settings(map={"colour_by": ["link_reason"]}))
    with pytest.raises(ConfigError, match="no features of this name, expected cnn"):
        inspect_run(run, "x", settings(features="vit"))
    with pytest.raises(ConfigError, match=r"examples\.areas.*unknown area 'A99'"):
        inspect_run(run, "x", settings(examples={"areas": ["A99"]}))
    for name in ("B01_hemi-L:99999", "B09_hemi-L:3", "17"):
        with pytest.raises(ConfigError, match=r"examples\.nodes: .*no such node, expected GRAPH:NODE"):
            inspect_run(run, "x", settings(examples={"nodes": [name]}))
    with pytest.raises(ConfigError, match=r"lobes: B1: found no area of this name"):
        inspect_run(run, "x", settings(lobes={"B1": "front"}))
    assert not (run / "analyze" / "x").exists()  # before anything is computed
    with pytest.raises(ValueError, match="block or section"):
        settings(folds={"kind": "brain"})
    with pytest.raises(MissingStageError):
        inspect_run(tmp_path / "empty", "x", settings())
    graph = load_graphs(run)[0]
    for own in load_graphs(run):
        save_features(run, "other", own, np.nan_to_num(own.positions, nan=0.0), {})
    with pytest.raises(ConfigError, match="features of several names, expected cnn or other.*--set features=cnn"):
        inspect_run(run, "x", settings())
    bare = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": np.zeros(graph.n_nodes, np.int32)}))
    save_graph(tmp_path / "bare", bare, {}, {})
    save_features(tmp_path / "bare", "cnn", bare, bare.positions, {})
    with pytest.raises(ConfigError, match=r"map\.colour_by: area: found no value at any linked node.*'brain'"):
        inspect_run(tmp_path / "bare", "x", settings())
    nowhere = {"of": np.full(bare.n_nodes, np.nan)}
    save_measures(tmp_path / "bare" / "analyze" / "own", bare, nowhere, {})
    (tmp_path / "bare" / "analyze" / "own" / "metrics.json").write_text("{}")
    colours = {"method": "pca", "n_nodes": 300, "colour_by": ["area", "brain", "own:of"]}
    inspect_run(tmp_path / "bare", "x", settings(map=colours))
    metrics = read_json(tmp_path / "bare" / "analyze" / "x" / "metrics.json")
    assert "no area among the linked nodes: nothing to tell apart" in metrics["notes"]
    assert "the map is not coloured by area, own:of: no value at any of its nodes" in metrics["notes"]
    assert metrics["map"]["colour_by"] == ["brain"]
    assert "not coloured by area" in inspect_part(tmp_path / "bare").body
