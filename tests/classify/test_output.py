import numpy as np

from cytomesh.classify.output import prediction_table, write_predictions
from cytomesh.core.tables import read_table
from cytomesh.surface.gifti import read_labels, read_scalars


def test_first_and_second_choice_in_every_format(synthetic, tmp_path):
    graph = synthetic.graph(subdivisions=1)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), graph.n_nodes).astype(np.float32)
    classes = np.array([2, 3, 6], np.int32)
    write_predictions(tmp_path, graph, prediction_table(graph, probabilities, classes), graph.labels)
    table = read_table(tmp_path / "predictions" / f"{graph.name}.parquet")
    ranked = np.sort(probabilities, axis=1)[:, ::-1]
    np.testing.assert_array_equal(table["confidence"], ranked[:, 0])
    np.testing.assert_array_equal(table["second_confidence"], ranked[:, 1])
    np.testing.assert_array_equal(table["area"], classes[probabilities.argmax(axis=1)])
    assert (table["area"] != table["second_area"]).all()
    labels, written = read_labels(tmp_path / f"{graph.name}.label.gii")
    np.testing.assert_array_equal(labels, table["area"])
    assert written.names == graph.labels.names
    scalars = read_scalars(tmp_path / f"{graph.name}_confidence.func.gii")
    np.testing.assert_array_equal(scalars["confidence"], table["confidence"])
