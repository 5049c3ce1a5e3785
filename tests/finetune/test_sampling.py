"""Batches: even over the areas, drawn by influence, with the mesh edges among them, the same at every call."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.splits import SectionSplit
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from cytomesh.finetune.sampling import NodeSampler, walk
from tests.conftest import sphere_graph


@pytest.fixture(scope="module")
def nodes():
    graphs = [sphere_graph("B01"), sphere_graph("B02", seed=1)]
    return training_nodes(involved_graphs(graphs, SectionSplit(), 0), graphs)


def test_batches_hold_linked_nodes_the_targets_first_and_the_edges_among_them(nodes):
    batch = NodeSampler(nodes, 2, 0.5, 0).draw(0, 10, 5)
    assert (nodes.pool_row[batch.nodes] >= 0).all()
    assert nodes.is_train[batch.nodes[: batch.n_targets]].all()
    assert not nodes.is_train[batch.nodes[batch.n_targets :]].any()
    assert 10 <= batch.n_targets < len(batch.nodes) <= 60
    assert len(np.unique(batch.nodes)) == len(batch.nodes)
    links = nodes.adjacency.toarray() > 0
    for i, node in enumerate(batch.nodes):
        found = batch.edges.indices[batch.edges.indptr[i] : batch.edges.indptr[i + 1]]
        expected = {j for j, other in enumerate(batch.nodes) if links[node, other]} | {i}
        assert set(found) == expected


def test_same_step_same_batch(nodes):
    first, again = (NodeSampler(nodes, 2, 0.5, 0).draw(4, 20, 3) for _ in range(2))
    assert np.array_equal(first.nodes, again.nodes)
    other = NodeSampler(nodes, 2, 0.5, 0).draw(5, 20, 3)
    assert set(other.nodes) != set(first.nodes)


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_areas_are_drawn_as_balanced_as_asked_for(nodes, balance):
    sampler = NodeSampler(nodes, 0, balance, 0)
    counts = np.bincount(nodes.targets[nodes.is_train], minlength=len(nodes.classes))
    drawn = [sampler.draw(step, 10, 0) for step in range(100)]
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
    assert set(np.flatnonzero(found)) <= set(np.flatnonzero(expected))
