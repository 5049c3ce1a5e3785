"""Numbers of nodes from elsewhere: taken over as they are, explained by variation, shown in the report."""

import json

import numpy as np
import pytest

from cytomesh.analyze.measures import load_measures
from cytomesh.core.errors import ConfigError, GraphError, MissingStageError, SurfaceError
from cytomesh.graph.storage import save_graph
from cytomesh.report.maps import node_maps
from cytomesh.surface.gifti import write_scalars
from tests.conftest import sphere_graph


@pytest.fixture
def run(tmp_path):
    graphs = [sphere_graph("B01", "L", subdivisions=2), sphere_graph("B01", "R", subdivisions=2, seed=1)]
    for graph in graphs:
        save_graph(tmp_path / "run", graph, {}, {})
    return tmp_path / "run", graphs


def test_tables_and_maps_are_taken_over_node_by_node(run, tmp_path, cytomesh, capsys):
    folder, (left, right) = run
    rng = np.random.default_rng(0)
    myelin = rng.normal(size=left.n_nodes)
    lines = [f"{value},{i % 3},text" for i, value in enumerate(myelin)]
    (tmp_path / f"{left.name}.csv").write_text("\n".join(["myelin,layer_IV_mm,word", *lines]) + "\n")
    code, out, said = cytomesh("measures", tmp_path / "{graph}.csv", "--out", folder, "--name", "own", "--json")
    assert code == 0, said
    assert "column 'word' is text and left out" in said and f"{right.name} has none" in said
    assert json.loads(out)[left.name] == {"myelin": left.n_nodes, "layer_IV_mm": left.n_nodes}
    assert json.loads(out)[right.name] == {"myelin": 0, "layer_IV_mm": 0}
    np.testing.assert_array_equal(load_measures(folder, "own", left)["myelin"], myelin)
    assert np.isnan(load_measures(folder, "own", right)["myelin"]).all()
    shown = {item.title: item for item in node_maps(folder, left)}
    np.testing.assert_array_equal(shown["myelin, own"].values, myelin)
    assert "thickness of layer IV, own" not in shown

    write_scalars(tmp_path / f"{right.name}.shape.gii", {"t1": np.arange(right.n_nodes)}, "R")
    code, _, said = cytomesh("measures", tmp_path / "B01_hemi-{hemisphere}.shape.gii", "--out", folder, "--name", "gii")
    assert code == 0, said
    np.testing.assert_array_equal(load_measures(folder, "gii", right)["t1"], np.arange(right.n_nodes))

    path = folder / "analyze" / "own" / "metrics.json"
    before = path.stat().st_mtime_ns
    assert cytomesh("measures", tmp_path / "{graph}.csv", "--out", folder, "--name", "own")[0] == 0
    assert path.stat().st_mtime_ns == before
    (tmp_path / f"{left.name}.csv").write_text("\n".join(["myelin,layer_IV_mm,word", *lines[::-1]]) + "\n")
    assert "stale" in cytomesh("status", "--out", folder)[1]
    assert cytomesh("measures", tmp_path / "{graph}.csv", "--out", folder, "--name", "own")[0] == 0
    np.testing.assert_array_equal(load_measures(folder, "own", left)["myelin"], myelin[::-1])


def test_files_without_names_are_one_column_in_all_graphs(run, tmp_path, cytomesh):
    folder, graphs = run
    values = {graph.name: np.random.default_rng(graph.n_nodes).normal(size=(graph.n_nodes, 2)) for graph in graphs}
    for graph in graphs:
        np.save(tmp_path / f"{graph.name}_bands.npy", values[graph.name])
        np.save(tmp_path / f"{graph.name}.npy", values[graph.name][:, 0])
        write_scalars(
            tmp_path / f"myelin_{graph.hemisphere}.shape.gii", {"": values[graph.name][:, 1]}, graph.hemisphere
        )
    patterns = {"several": "{graph}_bands.npy", "bare": "{graph}.npy", "gifti": "myelin_{hemisphere}.shape.gii"}
    for name, pattern in patterns.items():
        assert cytomesh("measures", tmp_path / pattern, "--out", folder, "--name", name)[0] == 0
    for graph in graphs:
        own = values[graph.name]
        bands = load_measures(folder, "several", graph)
        np.testing.assert_array_equal(np.stack([bands["bands 1"], bands["bands 2"]], axis=1), own)
        assert list(bands.columns) == ["bands 1", "bands 2"]
        np.testing.assert_array_equal(load_measures(folder, "bare", graph)["value"], own[:, 0])
        np.testing.assert_allclose(load_measures(folder, "gifti", graph)["myelin"], own[:, 1], rtol=1e-6)


def test_what_does_not_fit_is_named(run, tmp_path):
    from cytomesh.analyze.own_measures import MeasuresConfig, measures_run

    folder, (left, _) = run
    with pytest.raises(ConfigError, match="one file for several graphs"):
        measures_run(folder, "own", MeasuresConfig(files="all.csv"))
    with pytest.raises(ConfigError, match=r"files: \{section\}.csv: .*\{graph\} and \{brain\} and \{hemisphere\}"):
        measures_run(folder, "own", MeasuresConfig(files="{section}.csv"))
    with pytest.raises(MissingStageError, match="no such file"):
        measures_run(folder, "own", MeasuresConfig(files="{graph}.csv"))
    path = tmp_path / f"{left.name}.csv"
    for text, error, words in (
        ("a\n1.5\n2\n", SurfaceError, f"{left.n_nodes} vertices"),
        ("a\n" + "x\n" * left.n_nodes, GraphError, "no column of numbers"),
    ):
        path.write_text(text)
        with pytest.raises(error, match=words):
            measures_run(folder, "own", MeasuresConfig(files=str(tmp_path / "{graph}.csv")))
    numbers = [str(i / 2) for i in range(left.n_nodes)]
    numbers[3], numbers[17], numbers[20] = "n/a", "low", "high"
    path.write_text("\n".join(["word,myelin", *(f"x,{number}" for number in numbers)]) + "\n")
    words = rf"column 'myelin': found 'low' at node 17 .*where {left.n_nodes - 3} cells are numbers and 2 not"
    with pytest.raises(GraphError, match=words):
        measures_run(folder, "own", MeasuresConfig(files=str(tmp_path / "{graph}.csv")))
    assert not (folder / "analyze" / "own" / "metrics.json").exists()
