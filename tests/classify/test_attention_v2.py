import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.attention_v2 import attend_v2, attend_v2_by_edges


@pytest.fixture(params=[1, 4], ids=["small", "several blocks of rows"])
def edges(synthetic, request):
    ball = synthetic.sphere(request.param).adjacency()
    return MeshEdges.from_adjacency(sp.block_diag([ball, sp.csr_matrix((2, 2))], format="csr"))  # two isolated nodes


@pytest.mark.parametrize("with_dropout", [False, True])
def test_rows_equal_edges_forward_and_gradient(edges, with_dropout):
    torch.manual_seed(0)
    n = edges.indptr.size - 1
    arguments = [torch.randn(n, 2, 5), torch.randn(n, 2, 5), torch.randn(2, 5)]
    kept = (torch.rand(edges.indices.size, 2) > 0.3) / 0.7 if with_dropout else None
    upstream = torch.randn(n, 2, 5)
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
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4 * float(reference.abs().max()))


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
