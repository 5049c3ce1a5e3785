import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify.attention import MeshEdges, attend
from tests.classify.attention_by_edges import attend_by_edges


@pytest.fixture(params=["balls", "one node", "nodes without edges", "no node"])
def edges(synthetic, request):
    ball = synthetic.sphere(1).adjacency()
    adjacency = {
        "balls": sp.block_diag([ball, sp.csr_matrix((2, 2)), ball], format="csr"),  # two isolated nodes
        "one node": sp.csr_matrix((1, 1)),
        "nodes without edges": sp.csr_matrix((3, 3)),
        "no node": sp.csr_matrix((0, 0)),
    }[request.param]
    return MeshEdges.from_adjacency(adjacency)


def test_reverse_edges(edges):
    targets = np.repeat(np.arange(edges.indptr.size - 1), np.diff(edges.indptr))
    np.testing.assert_array_equal(targets[edges.reverse], edges.indices)
    np.testing.assert_array_equal(edges.indices[edges.reverse], targets)


@pytest.mark.parametrize("with_attributes", [False, True])
@pytest.mark.parametrize("with_dropout", [False, True])
def test_rows_equal_edges_forward_and_gradient(edges, with_dropout, with_attributes):
    torch.manual_seed(0)
    n, heads = edges.indptr.size - 1, 8
    arguments = [torch.randn(n, heads, 5), *(torch.randn(n, heads) for _ in range(2))]
    if with_attributes:
        arguments.append(torch.randn(edges.indices.size, heads))
    kept = (torch.rand(edges.indices.size, heads) > 0.3) / 0.7 if with_dropout else None
    upstream = torch.randn(n, heads, 5)
    results = []
    for function in (
        lambda *a: attend(*a[:3], edges, kept, *a[3:]),
        lambda *a: attend_by_edges(*a[:3], edges.edge_index(torch.device("cpu")), kept, *a[3:]),
    ):
        leaves = [a.clone().requires_grad_() for a in arguments]
        out = function(*leaves)
        out.backward(upstream)
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)


def test_loops_have_the_mean_of_their_node_s_attributes(synthetic):
    adjacency = sp.block_diag([synthetic.sphere(1).adjacency(), sp.csr_matrix((1, 1))], format="csr")
    attributes = np.random.default_rng(0).normal(size=(adjacency.nnz, 2)).astype(np.float32)
    edges = MeshEdges.from_adjacency(adjacency, attributes)
    for i in range(adjacency.shape[0]):
        of_node = attributes[adjacency.indptr[i] : adjacency.indptr[i + 1]]
        around = adjacency.indices[adjacency.indptr[i] : adjacency.indptr[i + 1]].tolist()
        for e in range(edges.indptr[i], edges.indptr[i + 1]):
            j = edges.indices[e]
            mean = of_node.mean(axis=0) if len(of_node) else np.zeros(2)
            expected = mean if i == j else of_node[around.index(j)]
            np.testing.assert_allclose(edges.attributes[e], expected, atol=1e-6)


def test_without_edges_there_are_no_attributes_to_take_a_mean_of():
    edges = MeshEdges.from_adjacency(sp.csr_matrix((1, 1)), np.empty((0, 2), np.float32))
    np.testing.assert_array_equal(edges.attributes, np.zeros((1, 2)))
