"""Whose labels are held: those of training and validation nodes, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.classify.splits import SectionSplit
from cytomesh.core.errors import SplitError
from cytomesh.core.tables import Table
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from tests.conftest import sphere_graph


def change(graph, **columns):
    return replace(graph, nodes=Table({**graph.nodes.columns, **columns}))


def nodes_of(graphs):
    return training_nodes(involved_graphs(graphs, SectionSplit(), 0), graphs)


def test_labels_of_others_are_not_held():
    graphs = [
        sphere_graph("B01"),
        sphere_graph("B02", role="transfer"),
        sphere_graph("B03"),
        sphere_graph("B04", role="unseen"),
    ]
    nodes = nodes_of(graphs)
    assert [graph.name for graph in nodes.graphs] == ["B01_hemi-L", "B03_hemi-L"]
    role = np.concatenate([graph.section_role for graph in nodes.graphs])
    labels = np.concatenate([graph.annotation for graph in nodes.graphs])
    known = np.isin(role, ("train", "val"))
    assert np.array_equal(nodes.classes[nodes.targets[known]], labels[known])
    assert (nodes.targets[~known] == -1).all()
    assert np.array_equal(nodes.is_train, role == "train")
    assert np.array_equal(nodes.is_validation, role == "val")
    assert nodes.adjacency.shape == (len(nodes), len(nodes))


def test_pool_rows_count_the_linked_nodes_of_all_pooled_graphs():
    graphs = [sphere_graph("B01"), sphere_graph("B02", role="transfer"), sphere_graph("B03")]
    nodes = nodes_of(graphs)
    expected, row = [], 0
    for graph in graphs:
        for is_linked in graph.is_linked:
            if graph.brain_role == "train":
                expected.append(row if is_linked else -1)
            row += is_linked
    assert nodes.pool_row.tolist() == expected


def test_without_validation_nodes_there_is_one_clear_error():
    graph = sphere_graph()
    role = np.where(graph.section_role == "val", "train", graph.section_role)
    with pytest.raises(SplitError, match="role val"):
        nodes_of([change(graph, section_role=role)])


def test_one_area_is_not_enough():
    graph = sphere_graph()
    one = np.where(graph.is_linked, 1, 0).astype(np.int32)
    with pytest.raises(SplitError, match="found 1 area, expected two or more"):
        nodes_of([change(graph, annotation=one)])
