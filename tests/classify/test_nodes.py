from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.assemble import assemble, class_maps
from cytomesh.classify.config import AreasConfig, ClassifyConfig
from cytomesh.classify.inputs import InputsConfig
from cytomesh.core.errors import AtlasError, SplitError
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table

THICKNESS = ClassifyConfig(inputs=InputsConfig(names=["thickness"]))


def assembled(run, graphs, settings=THICKNESS):
    data, _, notes = assemble(run, graphs, [graph.annotation for graph in graphs], settings)
    return data, " | ".join(notes)


def test_targets_are_positions_of_training_areas(synthetic, tmp_path):
    graphs = [synthetic.graph(), synthetic.graph("B02", role="unseen")]
    data, _ = assembled(tmp_path, graphs)
    labels = np.concatenate([graph.annotation for graph in graphs])
    assert data.classes.tolist() == list(range(1, 7))
    np.testing.assert_array_equal(data.targets[labels > 0], labels[labels > 0] - 1)
    assert (data.targets[labels == 0] == -1).all()
    assert data.adjacency[: graphs[0].n_nodes, graphs[0].n_nodes :].nnz == 0


def test_training_part_drops_graphs_without_training_nodes(synthetic, tmp_path):
    graphs = [synthetic.graph(role="unseen"), synthetic.graph("B02", role="train")]
    data, _ = assembled(tmp_path, graphs)
    part = data.training_part()
    assert part.sizes.tolist() == [graphs[1].n_nodes]
    assert part.adjacency.shape == (graphs[1].n_nodes,) * 2
    np.testing.assert_array_equal(part.inputs, data.inputs[graphs[0].n_nodes :])


def test_areas_missing_on_a_side_are_said(synthetic, tmp_path):
    graph = synthetic.graph()
    labels = graph.annotation.copy()
    labels[(labels == 2) & (graph.section_role == "train")] = 0  # area 2 not trained
    labels[(labels == 3) & (graph.section_role == "test")] = 0  # area 3 not tested
    of_four = np.flatnonzero((labels == 4) & (graph.section_role == "train"))
    labels[of_four[1:]] = 0  # one node of area 4
    data, notes = assembled(tmp_path, [synthetic.change(graph, annotation=labels)])
    assert data.classes.tolist() == [1, 3, 4, 5, 6]
    assert "single training node: area 4" in notes
    assert "left out of the scores: area 2" in notes
    assert "not in macro-F1: area 3" in notes


def test_small_areas_count_as_unlabelled(synthetic, tmp_path):
    graph = synthetic.graph()
    labels = graph.annotation.copy()
    of_four = np.flatnonzero((labels == 4) & (graph.section_role == "test"))
    labels[of_four[5:]] = 0
    settings = ClassifyConfig(inputs=InputsConfig(names=["thickness"]), areas=AreasConfig(min_nodes=6))
    data, notes = assembled(tmp_path, [synthetic.change(graph, annotation=labels)], settings)
    assert 4 not in data.classes.tolist()
    assert "fewer than 6 nodes" in notes


def test_labels_outside_the_table(synthetic):
    graph = synthetic.graph()
    with pytest.raises(AtlasError, match="outside the label table"):
        synthetic.change(graph, annotation=np.where(graph.annotation == 1, 99, graph.annotation))


def test_two_label_tables(synthetic, tmp_path):
    one, two = synthetic.graph(), synthetic.graph("B02")
    two = replace(two, labels=LabelTable.from_names([f"other {i}" for i in range(6)]))
    with pytest.raises(SplitError, match="a label table other than"):
        assembled(tmp_path, [one, two])


def test_a_single_area(synthetic, tmp_path):
    graph = synthetic.graph()
    with pytest.raises(SplitError, match="found 1 area, expected two or more"):
        assembled(tmp_path, [synthetic.change(graph, annotation=np.minimum(graph.annotation, 1))])


@pytest.mark.parametrize("order", [(5, 2, 9), (9, 5, 2), (2, 5, 9)])
def test_maps_belong_to_their_classes_whatever_the_order_of_the_table(synthetic, order):
    graph = synthetic.graph()
    table = LabelTable(order, tuple(f"L{index}" for index in order), np.ones((3, 4)))
    columns = {
        "annotation": np.zeros(graph.n_nodes, np.int32),
        "pmap": sp.csr_matrix(np.eye(3)[np.arange(graph.n_nodes) % 3]),
    }
    graph = replace(graph, nodes=Table({**graph.nodes.columns, **columns}), labels=table)
    classes = np.array([2, 9], np.int32)
    maps = class_maps([graph], classes).toarray()
    for node in range(6):
        area = order[node % 3]  # the only area that is probable there
        assert maps[node].tolist() == [float(area == 2), float(area == 9)]


def test_labels_as_large_as_region_ids_cost_nothing(synthetic, tmp_path):
    """Region ids of atlases are numbers up to 2**31, not sizes of arrays."""
    graph = synthetic.graph()
    table = LabelTable(tuple(300_000_000 * i for i in graph.labels.indices), graph.labels.names, graph.labels.colours)
    columns = {**graph.nodes.columns, "annotation": 300_000_000 * graph.annotation}
    large = replace(graph, nodes=Table(columns), labels=table)
    settings = ClassifyConfig(inputs=InputsConfig(names=["thickness"]), areas=AreasConfig(min_nodes=6))
    small, _ = assembled(tmp_path, [graph], settings)
    data, _ = assembled(tmp_path, [large], settings)
    np.testing.assert_array_equal(data.targets, small.targets)
    assert data.classes.tolist() == [300_000_000 * int(label) for label in small.classes]
