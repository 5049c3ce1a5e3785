"""Batches: exact for their targets, even over the areas, drawn by influence, the same at every call."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.config import AttentionModel, ConvolutionModel, MlpModel, SectionSplit
from cytomesh.classify.networks import make_network
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from cytomesh.finetune.sampling import NodeSampler, network_hops, node_batch, walk, within_hops
from tests.conftest import sphere_graph

MODELS = [
    AttentionModel(kind="gat", hidden=8, heads=2, layers=2),
    ConvolutionModel(kind="gcn", hidden=8, layers=2),
    MlpModel(kind="mlp", hidden=8),
]


@pytest.fixture(scope="module")
def nodes():
    graphs = [sphere_graph("B01"), sphere_graph("B02", seed=1)]
    return training_nodes(involved_graphs(graphs, SectionSplit(), 0), graphs)


@pytest.mark.parametrize("settings", MODELS, ids=lambda settings: settings.kind)
def test_targets_get_what_the_whole_graph_gives(nodes, settings):
    torch.manual_seed(0)
    network = make_network(settings, 5, len(nodes.classes)).eval()
    features = torch.randn(len(nodes), 5)
    whole = network(features, MeshEdges.from_adjacency(nodes.adjacency))
    batch = NodeSampler(nodes, network_hops(settings), 0.5, 0).draw("batch", 3, 10, 3)
    part = network(features[torch.from_numpy(batch.nodes)], batch.edges)
    targets = batch.nodes[: batch.n_targets]
    assert nodes.is_train[targets].all()
    torch.testing.assert_close(part[: batch.n_targets], whole[torch.from_numpy(targets)])


def test_drawn_nodes_have_patches_and_include_the_targets(nodes):
    batch = NodeSampler(nodes, 2, 0.5, 0).draw("batch", 0, 20, 3)
    drawn = batch.nodes[batch.drawn]
    assert (nodes.pool_row[drawn] >= 0).all()
    assert set(batch.nodes[: batch.n_targets]) <= set(drawn)
    assert 20 < len(drawn) <= 80
    assert not nodes.is_train[drawn].all()  # nodes of other sections take part, without their labels
    assert len(np.unique(batch.nodes)) == len(batch.nodes)


def test_same_step_same_batch(nodes):
    first, again = (NodeSampler(nodes, 2, 0.5, 0).draw("batch", 4, 20, 3) for _ in range(2))
    assert np.array_equal(first.nodes, again.nodes)
    other = NodeSampler(nodes, 2, 0.5, 0).draw("batch", 5, 20, 3)
    assert set(other.nodes[other.drawn]) != set(first.nodes[first.drawn])


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_areas_are_drawn_as_balanced_as_asked_for(nodes, balance):
    sampler = NodeSampler(nodes, 0, balance, 0)
    counts = np.bincount(nodes.targets[nodes.is_train], minlength=len(nodes.classes))
    drawn = [sampler.draw("batch", step, 10, 0) for step in range(100)]
    found = np.bincount(np.concatenate([nodes.targets[batch.nodes] for batch in drawn]), minlength=len(counts))
    expected = counts / counts.sum() if balance == 0 else np.full(len(counts), 1 / len(counts))
    assert np.abs(found / found.sum() - expected).max() < 0.04


def test_walks_end_as_often_as_powers_of_the_walk_matrix_say(nodes):
    """The influence of nodes on an output of mean aggregation with self-loops, Xu et al. 2018."""
    closed = sp.csr_matrix(nodes.adjacency + sp.identity(len(nodes)))
    step = sp.diags(1 / np.asarray(closed.sum(axis=1)).ravel()) @ closed
    expected = np.zeros(len(nodes))
    expected[10] = 1
    for _ in range(3):
        expected = step.T @ expected
    ends = walk(nodes.adjacency, np.full(100_000, 10), 3, np.random.default_rng(0))
    found = np.bincount(ends, minlength=len(nodes)) / len(ends)
    assert np.abs(found - expected).max() < 0.004
    assert set(np.flatnonzero(found)) <= set(within_hops(nodes.adjacency, np.array([10]), 3))


def test_hops_are_counted_on_the_mesh(nodes):
    reached = within_hops(nodes.adjacency, np.array([10]), 2)
    links = nodes.adjacency
    expected = {10}
    for _ in range(2):
        expected |= {int(other) for node in expected for other in links[node].indices}
    assert set(reached) == expected


def test_a_batch_of_all_nodes_is_the_whole_graph(nodes):
    linked = np.flatnonzero(nodes.pool_row >= 0)
    batch = node_batch(nodes, linked, 3)
    assert batch.n_targets == nodes.is_train.sum()
    assert np.array_equal(np.sort(batch.nodes[batch.drawn]), linked)
