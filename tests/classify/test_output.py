from dataclasses import replace

import nibabel
import nibabel.freesurfer as freesurfer
import numpy as np

from cytomesh.classify.output import prediction_table, write_predictions
from cytomesh.core.tables import read_table
from cytomesh.surface.gifti import read_labels, read_scalars


def test_first_and_second_choice_in_every_format(synthetic, tmp_path):
    graph = synthetic.graph(subdivisions=1)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), graph.n_nodes).astype(np.float32)
    classes = np.array([2, 3, 6], np.int32)
    predicted = prediction_table(graph, probabilities, classes, np.full(graph.n_nodes, ""))
    write_predictions(tmp_path, graph, predicted, predicted["area"])
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


def test_formats_of_other_programs(synthetic, tmp_path):
    graph = synthetic.graph(subdivisions=1)
    same = graph.labels.colours.copy()
    same[1] = same[0]  # FreeSurfer could not tell these two apart
    graph = replace(graph, labels=replace(graph.labels, colours=same))
    area = np.where(np.arange(graph.n_nodes) < 5, 0, graph.annotation).astype(np.int32)
    probabilities = np.full((graph.n_nodes, 2), 0.5, np.float32)
    table = prediction_table(graph, probabilities, np.array([1, 2], np.int32), np.full(graph.n_nodes, ""))
    write_predictions(tmp_path, graph, table, area)
    rows, colours, names = freesurfer.read_annot(tmp_path / f"lh.{graph.name}.annot")
    assert [name.decode() for name in names] == ["unknown", *graph.labels.names]
    assert [names[row].decode() for row in rows] == [graph.labels.name(int(a)) if a else "unknown" for a in area]
    assert len({tuple(colour) for colour in colours[:, :3].tolist()}) == len(colours)
    image = nibabel.load(tmp_path / f"{graph.name}.dlabel.nii")
    np.testing.assert_array_equal(image.get_fdata()[0], area)
    label_axis, vertices = (image.header.get_axis(i) for i in (0, 1))
    assert {k: v[0] for k, v in label_axis.label[0].items() if k} == dict(
        zip(graph.labels.indices, graph.labels.names, strict=True)
    )
    assert vertices.nvertices == {"CIFTI_STRUCTURE_CORTEX_LEFT": graph.n_nodes}


def test_nodes_that_are_no_cortex_get_no_area(synthetic):
    graph = synthetic.graph(subdivisions=1)
    is_cortex = np.arange(graph.n_nodes) >= 7
    columns = {**graph.nodes.columns, "is_cortex": is_cortex}
    cut = replace(graph, nodes=replace(graph.nodes, columns=columns))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), graph.n_nodes).astype(np.float32)
    arguments = (probabilities, np.array([2, 3, 6], np.int32), np.full(graph.n_nodes, ""))
    whole, table = prediction_table(graph, *arguments), prediction_table(cut, *arguments)
    for name in ("area", "confidence", "second_area", "second_confidence"):
        assert not table[name][:7].any() and table[name].dtype == whole[name].dtype
        np.testing.assert_array_equal(table[name][7:], whole[name][7:])
