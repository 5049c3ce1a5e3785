import numpy as np
import pytest

from cytomesh.classify.inputs import InputsConfig, context_column, fill_in, moments, prepare_inputs
from cytomesh.classify.known_inputs import read_input, resolve_names
from cytomesh.classify.out_of_core import StoredInput
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError
from cytomesh.core.files import read_json, write_json
from cytomesh.graph.neighbourhoods import impute, neighbour_means
from cytomesh.graph.storage import load_graphs


def everything(graphs):
    return [graph.is_linked for graph in graphs]


def test_all_inputs_side_by_side(section_run):
    graphs = load_graphs(section_run)
    names = ["features", "pmap", "coordinates", "thickness", "curvature", "obliqueness", "distance"]
    inputs = prepare_inputs(section_run, graphs, everything(graphs), InputsConfig(names=names))
    assert inputs.names[0] == "features:cnn"
    assert inputs.widths == (8, 6, 3, 1, 1, 1, 1)
    assert all(
        v.shape == (graph.n_nodes, 21) and np.isfinite(v).all() for v, graph in zip(inputs.values, graphs, strict=True)
    )
    assert any("features:cnn missing at" in note for note in inputs.notes)


def test_standardised_on_training_nodes_only(section_run):
    graphs = load_graphs(section_run)
    is_train = [
        graph.section_role == "train" if graph.brain_role == "train" else np.zeros(graph.n_nodes, bool)
        for graph in graphs
    ]
    inputs = prepare_inputs(section_run, graphs, is_train, InputsConfig(names=["thickness"]))
    raw = read_input(section_run, graphs[0], "thickness")[is_train[0]].astype(np.float64)
    expected = (read_input(section_run, graphs[1], "thickness") - raw.mean()) / raw.std()
    np.testing.assert_allclose(inputs.values[1], np.clip(expected, -5, 5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(inputs.scaling["thickness/node"][:, 0], [raw.mean(), raw.std()], rtol=1e-5)


def test_standardised_by_graph(hemisphere_run):
    graphs = load_graphs(hemisphere_run)
    settings = InputsConfig(names=["features"], standardise="graph", hops=[0, 2])
    inputs = prepare_inputs(hemisphere_run, graphs, [graphs[0].is_linked, ~graphs[1].is_linked], settings)
    for values, graph in zip(inputs.values, graphs, strict=True):
        np.testing.assert_allclose(values[graph.is_linked].mean(axis=0), 0, atol=1e-2)
        np.testing.assert_allclose(values[graph.is_linked].std(axis=0), 1, atol=1e-2)
    assert not inputs.scaling
    assert inputs.widths == (16,)


def test_coordinates_are_mirrored(hemisphere_run):
    left, right = (read_input(hemisphere_run, graph, "coordinates") for graph in load_graphs(hemisphere_run))
    np.testing.assert_allclose(left * [-1, 1, 1], right, rtol=1e-6)


def test_missing_features_come_from_the_surroundings(section_run):
    graph = load_graphs(section_run)[0]
    inputs = prepare_inputs(section_run, [graph], [graph.is_linked], InputsConfig())
    missing = np.flatnonzero(~graph.is_linked)
    assert (np.abs(inputs.values[0][missing]).max(axis=1) > 0).all()


@pytest.mark.parametrize("n", [0, 2])
def test_nodes_that_are_no_cortex_are_not_said_to_be_filled_in(section_run, synthetic, n):
    graph = load_graphs(section_run)[0]
    is_cortex = graph.is_linked.copy()
    is_cortex[np.flatnonzero(~graph.is_linked)[:n]] = True
    graph = synthetic.change(graph, is_cortex=is_cortex)
    notes = prepare_inputs(section_run, [graph], [graph.is_linked], InputsConfig()).notes
    said = f"{graph.name}: features:cnn missing at 2 nodes, filled in from their surroundings"
    assert list(notes) == [said][: bool(n)]


def test_features_of_another_graph_are_refused(synthetic, tmp_path):
    graph = synthetic.save(tmp_path, synthetic.graph())
    record = tmp_path / "features" / "cnn" / f"{graph.name}.json"
    write_json(record, {**read_json(record), "graph_digest": "another"})
    with pytest.raises(FeatureError, match="another graph"):
        read_input(tmp_path, graph, "features:cnn")


def test_nan_at_a_linked_node_is_refused(synthetic, tmp_path):
    graph = synthetic.save(tmp_path, synthetic.graph())
    path = tmp_path / "features" / "cnn" / f"{graph.name}.npy"
    values = np.load(path)
    values[np.flatnonzero(graph.is_linked)[3], 2] = np.nan
    np.save(path, values)
    with pytest.raises(FeatureError, match="linked nodes"):
        read_input(tmp_path, graph, "features:cnn")
    bad = synthetic.change(graph, thickness_mm=np.where(np.arange(graph.n_nodes) == 4, np.nan, 2.0))
    with pytest.raises(FeatureError, match="thickness, node 4"):
        read_input(tmp_path, bad, "thickness")
    pmap = graph.pmap.copy()
    pmap.data[5] = np.nan
    with pytest.raises(FeatureError, match="pmap"):
        read_input(tmp_path, synthetic.change(graph, pmap=pmap), "pmap")


def test_what_is_not_there_is_named(synthetic, tmp_path):
    graph = synthetic.graph(with_pmap=False)
    with pytest.raises(FeatureError, match="no probability maps"):
        read_input(tmp_path, graph, "pmap")
    with pytest.raises(MissingStageError, match="no features"):
        resolve_names(tmp_path, ["features"])
    for encoder in ("a", "b"):
        synthetic.save(tmp_path, graph, encoder=encoder)
    with pytest.raises(ConfigError, match="features:a or features:b"):
        resolve_names(tmp_path, ["features"])


def test_encoders_of_different_width(synthetic, tmp_path):
    one, two = synthetic.graph("B01"), synthetic.graph("B02")
    synthetic.save(tmp_path, one)
    synthetic.save(tmp_path, two, synthetic.features(two, d=5))
    with pytest.raises(FeatureError, match="5 columns, expected 8"):
        prepare_inputs(tmp_path, [one, two], everything([one, two]), InputsConfig())


def test_no_training_node_with_the_input(section_run):
    graph = load_graphs(section_run)[0]
    with pytest.raises(FeatureError, match="no node to standardise on"):
        prepare_inputs(section_run, [graph], [~graph.is_linked], InputsConfig())


def test_moments_are_those_of_the_chosen_rows():
    random = np.random.default_rng(0)
    values = [random.normal(3, 2, size=(n, 4)).astype(np.float32) for n in (50, 30)]
    chosen = [random.random(len(v)) > 0.4 for v in values]
    rows = np.concatenate([v[c] for v, c in zip(values, chosen, strict=True)]).astype(np.float64)
    found = moments([StoredInput(v) for v in values], chosen, "features")
    np.testing.assert_allclose(found, [rows.mean(axis=0), rows.std(axis=0)], rtol=1e-6)


def test_filled_in_as_on_the_whole_graph(synthetic):
    graph = synthetic.graph()
    values = synthetic.features(graph)
    is_known = np.isfinite(values).all(axis=1)
    expected, n_unreachable = impute(values, graph.adjacency)
    column, n = fill_in(StoredInput(values), is_known, graph, "features:cnn", None)
    np.testing.assert_array_equal(column.rows(np.arange(graph.n_nodes)), expected)
    assert n == n_unreachable == 0
    assert not np.isnan(expected).any()


def test_neighbourhood_means_by_columns(synthetic):
    graph = synthetic.graph()
    values = synthetic.features(graph)
    is_known = np.isfinite(values).all(axis=1)
    found = context_column(StoredInput(values), is_known, graph, [0, 2], InputsConfig(), "features:cnn", None)
    expected = neighbour_means(values, is_known, graph.adjacency, [0, 2], "walk")
    np.testing.assert_array_equal(found.source, expected)
