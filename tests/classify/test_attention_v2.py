import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.attention_v2 import attend_v2
from tests.classify.attention_by_edges import attend_v2_by_edges


@pytest.fixture(params=["small", "several blocks of rows", "one node", "nodes without edges", "no node"])
def edges(synthetic, request):
    isolated = sp.csr_matrix((2, 2))
    adjacency = {
        "small": lambda: sp.block_diag([synthetic.sphere(1).adjacency(), isolated], format="csr"),
        "several blocks of rows": lambda: sp.block_diag([synthetic.sphere(4).adjacency(), isolated], format="csr"),
        "one node": lambda: sp.csr_matrix((1, 1)),
        "nodes without edges": lambda: sp.csr_matrix((3, 3)),
        "no node": lambda: sp.csr_matrix((0, 0)),
    }[request.param]()
    return MeshEdges.from_adjacency(adjacency)


@pytest.mark.parametrize("with_dropout", [False, True])
def test_rows_equal_edges_forward_and_gradient(edges, with_dropout):
    torch.manual_seed(0)
    n, heads = edges.indptr.size - 1, 8
    arguments = [torch.randn(n, heads, 5), torch.randn(n, heads, 5), torch.randn(heads, 5)]
    kept = (torch.rand(edges.indices.size, heads) > 0.3) / 0.7 if with_dropout else None
    upstream = torch.randn(n, heads, 5)
    results = []
    for function in (
        lambda *a: attend_v2(*a, edges, kept),
        lambda *a: attend_v2_by_edges(*a, edges.edge_index(torch.device("cpu")), kept),
    ):
        leaves = [a.clone().requires_grad_() for a in arguments]
        out = function(*leaves)
        out.backward(upstream)
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for ours, reference in zip(*results, strict=True):
        largest = float(reference.abs().max()) if reference.numel() else 0.0
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4 * largest)


def test_threads_change_nothing(synthetic):
    edges = MeshEdges.from_adjacency(synthetic.sphere(4).adjacency())
    before = torch.get_num_threads()
    gradients = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            leaves = [torch.randn(2562, 2, 5), torch.randn(2562, 2, 5), torch.randn(2, 5)]
            leaves = [leaf.requires_grad_() for leaf in leaves]
            attend_v2(*leaves, edges).square().sum().backward()
            gradients.append([leaf.grad for leaf in leaves])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*gradients, strict=True):
        assert torch.equal(one, two)
