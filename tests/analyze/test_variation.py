"""The stage on run directories, through the command line."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.explain import location_terms
from cytomesh.analyze.folds import FoldsConfig, make_folds
from cytomesh.analyze.measures import save_measures
from cytomesh.analyze.variation import target_names, together, variation_run
from cytomesh.core.errors import ConfigError, FeatureError, GraphError, MissingStageError, SplitError
from cytomesh.core.files import read_json
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.report.status import run_status
from cytomesh.surface.mesh import Mesh
from tests.conftest import sphere_graph


@pytest.fixture
def run(tmp_path):
    """Two hemispheres; features know of thickness, not of obliqueness; some nodes have no depth of sulci."""
    random = np.random.default_rng(0)
    for hemisphere in "LR":
        graph = sphere_graph(hemisphere=hemisphere)
        thickness = 2.5 + 0.3 * random.normal(size=graph.n_nodes)
        depth = np.where(random.random(graph.n_nodes) < 0.1, np.nan, thickness**2)
        columns = {"thickness_mm": thickness, "sulcal_depth_mm": depth, "count": random.integers(0, 9, graph.n_nodes)}
        columns["obliqueness_deg"] = random.uniform(0, 40, graph.n_nodes)
        graph = replace(graph, nodes=Table({**graph.nodes.columns, **columns}))
        save_graph(tmp_path / "run", graph, {"sphere": graph.mesh}, {})
        features = random.normal(size=(graph.n_nodes, 12)).astype(np.float32)
        features[:, 0] += 20 * thickness
        features[~graph.is_linked] = np.nan
        save_features(tmp_path / "run", "cnn", graph, features, {})
    return tmp_path / "run"


def settings(**given):
    return VariationConfig.model_validate(
        {"components": [1, 4], "targets": ["thickness_mm", "obliqueness_deg"]} | given
    )


def test_scores_are_those_of_scikit_learn_on_the_same_folds(run):
    found = variation_run(run, "one", settings())
    graphs = load_graphs(run)
    linked = np.concatenate([graph.is_linked for graph in graphs])
    x = np.concatenate([np.load(run / "features" / "cnn" / f"{graph.name}.npy") for graph in graphs])[linked]
    y = np.concatenate([graph.nodes["thickness_mm"] for graph in graphs])[linked]
    fold = make_folds(graphs, FoldsConfig(), 0)[linked]
    rows = read_table(run / "analyze" / "one" / "r2.parquet")
    for f in range(5):
        pca = PCA(4, svd_solver="full").fit(x[fold != f].astype(float))
        model = LinearRegression().fit(pca.transform(x[fold != f]), y[fold != f])
        expected = r2_score(y[fold == f], model.predict(pca.transform(x[fold == f])))
        row = (rows["fold"] == f) & (rows["components"] == 4) & (rows["target"] == "thickness_mm")
        np.testing.assert_allclose(rows["r2"][row], expected, atol=1e-5)
    assert found["cnn: thickness_mm"]["r2"] > 0.9
    assert found["cnn: thickness_mm"]["beyond_location"] > 0.9
    assert abs(found["cnn: obliqueness_deg"]["r2"]) < 0.05


def test_the_null_is_what_rotated_targets_give(run):
    variation_run(run, "spun", settings(spins=9))
    record = read_json(run / "analyze" / "spun" / "metrics.json")["features"]["cnn"]
    thickness, obliqueness = record["thickness_mm"], record["obliqueness_deg"]
    assert len(thickness["null"]["spins"]) == 9
    assert thickness["null"]["p"] == pytest.approx(0.1)
    assert abs(thickness["null"]["mean"]) < 0.1
    assert obliqueness["null"]["p"] > 0.1


def test_nodes_without_a_target_are_left_out_and_said(run):
    variation_run(run, "all", settings(targets=[]))
    metrics = read_json(run / "analyze" / "all" / "metrics.json")
    places = ("ref_x_mm", "ref_y_mm", "ref_z_mm")
    known = ("thickness_mm", "sulcal_depth_mm", "obliqueness_deg")
    assert metrics["features"]["cnn"].keys() == {*places, *known}
    drawn = (run / "analyze" / "all" / "r2.svg").read_text()
    at = [drawn.index(f">{target}<") for target in (*places, *known)]
    assert at == sorted(at)  # as they were asked for, whichever nodes have them
    assert metrics["features"]["cnn"]["sulcal_depth_mm"]["r2"][-1] > 0.8
    said = " ".join(metrics["notes"])
    assert "sulcal_depth_mm: " in said and "linked nodes lack it" in said
    assert "curvature_per_mm: one value at all nodes, left out" in said


def test_the_command_keeps_what_is_current_and_notices_other_features(run, cytomesh):
    words = ("variation", "--out", run, "--set", "components=[2]", "--set", "targets=[count]", "--json")
    code, out, _ = cytomesh(*words)
    assert code == 0 and set(json.loads(out)) == {"cnn: count"}
    written = (run / "analyze" / "variation" / "metrics.json").stat().st_mtime_ns
    assert cytomesh(*words)[0] == 0
    assert (run / "analyze" / "variation" / "metrics.json").stat().st_mtime_ns == written
    assert {status.product: status.state for status in run_status(run)}["analyze/variation"] == "done"
    graph = load_graphs(run)[0]
    save_features(
        run, "cnn", graph, np.where(graph.is_linked[:, None], np.ones((1, 12)) * graph.positions[:, :1], np.nan), {}
    )
    assert {status.product: status.state for status in run_status(run)}["analyze/variation"] == "stale"


def test_what_other_analyses_measured_is_a_target(run):
    graphs = load_graphs(run)
    for graph in graphs:
        cells = np.where(graph.is_linked, 3 * graph.nodes["thickness_mm"], np.nan)
        columns = {"density_per_mm3": cells, "name": np.full(graph.n_nodes, "a")}
        save_measures(run / "analyze" / "cells", graph, columns, {"density_per_mm3": "1/mm3"})
    wanted = settings(targets=["cells:density_per_mm3", "thickness_mm"])
    found = variation_run(run, "x", wanted)
    assert found["cnn: cells:density_per_mm3"]["r2"] == pytest.approx(found["cnn: thickness_mm"]["r2"])
    assert {status.product: status.state for status in run_status(run)}["analyze/x"] == "done"
    with pytest.raises(ConfigError, match=r"no column of numbers 'density' .* did you mean 'density_per_mm3'"):
        variation_run(run, "y", settings(targets=["cells:density"]))
    with pytest.raises(MissingStageError, match="analyses that measure nodes: cells"):
        variation_run(run, "y", settings(targets=["layers:thickness_mm"]))
    (run / "analyze" / "cells" / "unfinished.json").write_text("{}")
    with pytest.raises(MissingStageError, match="an analysis that was not finished"):
        variation_run(run, "y", wanted)
    (run / "analyze" / "cells" / "unfinished.json").unlink()
    save_measures(run / "analyze" / "cells", graphs[0], columns | {"density_per_mm3": cells + 1}, {})
    assert {status.product: status.state for status in run_status(run)}["analyze/x"] == "stale"
    moved = replace(graphs[0], mesh=Mesh(graphs[0].mesh.vertices + 1, graphs[0].mesh.faces))
    save_measures(run / "analyze" / "cells", moved, columns, {})
    with pytest.raises(GraphError, match="measures of another graph"):
        variation_run(run, "x", wanted)
    with pytest.raises(GraphError, match="one per node"):
        save_measures(run / "analyze" / "cells", graphs[0], {"few": cells[:5]}, {})


def test_what_is_not_there_is_named(run, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'thickness_mm'"):
        variation_run(run, "x", settings(targets=["thicknes_mm"]))
    with pytest.raises(ConfigError, match=r"no column of numbers 'link_reason'"):
        variation_run(run, "x", settings(targets=["link_reason"]))
    with pytest.raises(ConfigError, match="'thick' in .*, nor thicker"):
        variation_run(run, "x", settings(targets=["thick", "curvature_per_mm", "thicker"]))
    for name in ("annotation", "section"):
        with pytest.raises(ConfigError, match=rf"targets: {name}: found numbers that are names"):
            variation_run(run, "x", settings(targets=[name]))
    with pytest.raises(ConfigError, match=r"no features of this name, expected cnn"):
        variation_run(run, "x", settings(features=["vit"]))
    with pytest.raises(FeatureError, match="curvature_per_mm: one value"):
        variation_run(run, "x", settings(targets=["curvature_per_mm"]))
    with pytest.raises(SplitError, match=r"folds\.kind: brain: found one brain only, B01, expected two or more"):
        variation_run(run, "x", settings(folds={"kind": "brain"}))
    with pytest.raises(MissingStageError):
        variation_run(tmp_path / "empty", "x", settings())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([np.nan, np.inf, -np.inf]), "no node has it"),
        (1 + 1e-14 * np.arange(3), "one value at all nodes"),
        (1e200 * np.arange(3), r"values up to 2e\+200"),
    ],
)
def test_targets_that_cannot_be_regressed_are_left_out_and_said(values, said):
    y = np.column_stack([values, [1.0, 2.0, np.inf], 1e9 + np.arange(3)])
    groups, notes = together(y, ["a", "b", "c"], np.full(3, -1), np.zeros(3, int))
    assert [(columns, nodes.tolist()) for columns, nodes in groups] == [([1], [0, 1]), ([2], [0, 1, 2])]
    assert notes[1] == "b: 1 of 3 linked nodes lack it, left out" and re.fullmatch(f"a: {said}, left out", notes[0])


def test_targets_of_few_sections_are_said_to_be():
    y = np.random.default_rng(0).normal(size=(60, 2))
    y[30:, 1] = np.nan
    _, notes = together(y, ["everywhere", "rare"], np.arange(60) // 3, np.arange(60) % 5)
    assert notes[0] == "rare: 30 of 60 linked nodes lack it, left out"
    assert re.fullmatch(r"rare: known in 10 sections, fewer than the 19 terms of location, .*below 0.*", notes[1])
    assert len(notes) == 2 and location_terms(y[:30, [0, 0, 1]]).shape[1] == 19


def test_targets_of_one_value_within_each_fold_are_left_out_and_said(run):
    graphs = load_graphs(run)
    for graph in graphs:
        own = {"is_right": np.full(graph.n_nodes, float(graph.hemisphere == "R"))}
        save_measures(run / "analyze" / "side", graph, own, {})
    (run / "analyze" / "side" / "metrics.json").write_text("{}")
    given = {"targets": ["side:is_right", "thickness_mm"], "folds": {"kind": "hemisphere"}}
    assert list(variation_run(run, "one", settings(**given))) == ["cnn: thickness_mm"]
    note = read_json(run / "analyze" / "one" / "metrics.json")["notes"][0]
    assert note.startswith("side:is_right: one value within each fold") and note.endswith("left out")


@pytest.mark.parametrize("kind", ["section", "block", "hemisphere"])
def test_groups_stay_together_and_folds_are_even(run, kind):
    graphs = load_graphs(run)
    fold = make_folds(graphs, FoldsConfig(kind=kind, n=4), 0)
    assert fold.shape == (sum(graph.n_nodes for graph in graphs),)
    shares = np.bincount(fold) / len(fold)
    if kind == "hemisphere":
        assert shares.tolist() == [0.5, 0.5]
        return
    assert len(shares) == 4 and shares.min() > (0.2 if kind == "block" else 0.1)
    if kind == "section":
        section = np.concatenate([graph.section for graph in graphs])
        assert all(len(np.unique(fold[section == s])) == 1 for s in np.unique(section))
    else:
        edges = graphs[0].mesh.edges
        assert (fold[edges[:, 0]] != fold[edges[:, 1]]).mean() < 0.25  # compact: most edges stay within


def test_a_target_named_twice_is_one():
    assert target_names([], ["thickness_mm", "a:b", "thickness_mm"]) == ("thickness_mm", "a:b")
