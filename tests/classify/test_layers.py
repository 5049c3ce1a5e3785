import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cytomesh.classify import layers
from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.layers import Attention, AttentionV2, GraphConvolution, MeanConvolution

N_INPUTS, CHANNELS, HEADS = 7, 5, 3


@pytest.fixture
def edges(synthetic):
    ball = synthetic.sphere(1).adjacency()
    return MeshEdges.from_adjacency(sp.block_diag([ball, sp.csr_matrix((2, 2)), ball], format="csr"))  # two isolated


def without_loops(edge_index):
    return edge_index[:, edge_index[0] != edge_index[1]]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("n_alone", [None, 1, 3, 0], ids=["balls", "one node", "nodes without edges", "no node"])
@pytest.mark.parametrize("kind", ["gat", "gatv2", "gcn", "sage"])
def test_equal_to_pyg_with_the_same_weights(edges, kind, n_alone):
    from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv

    if n_alone is not None:
        edges = MeshEdges.from_adjacency(sp.csr_matrix((n_alone, n_alone)))
    torch.manual_seed(1)
    ours, reference = {
        "gat": lambda: (Attention(N_INPUTS, CHANNELS, HEADS, 0.0), GATConv(N_INPUTS, CHANNELS, HEADS)),
        "gatv2": lambda: (AttentionV2(N_INPUTS, CHANNELS, HEADS, 0.0), GATv2Conv(N_INPUTS, CHANNELS, HEADS)),
        "gcn": lambda: (GraphConvolution(N_INPUTS, CHANNELS), GCNConv(N_INPUTS, CHANNELS)),
        "sage": lambda: (MeanConvolution(N_INPUTS, CHANNELS), SAGEConv(N_INPUTS, CHANNELS)),
    }[kind]()
    ours.load_state_dict(reference.state_dict())
    results = []
    n = edges.indptr.size - 1
    for layer, links in ((ours, edges), (reference, without_loops(edges.edge_index(torch.device("cpu"))))):
        x = torch.randn(n, N_INPUTS, generator=torch.Generator().manual_seed(2)).requires_grad_()
        out = layer(x, links)
        (out**2).sum().backward()
        results.append([out.detach(), x.grad, *(dict(layer.named_parameters())[k].grad for k in ours.state_dict())])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_edge_attributes_equal_to_pyg_with_the_same_weights(synthetic):
    from torch_geometric.nn import GATConv

    torch.manual_seed(1)
    adjacency = synthetic.sphere(1).adjacency()
    attributes = torch.randn(adjacency.nnz, 3)
    edges = MeshEdges.from_adjacency(adjacency, attributes.numpy())
    links = torch.from_numpy(np.stack([adjacency.indices, np.repeat(np.arange(42), np.diff(adjacency.indptr))])).long()
    ours, reference = Attention(N_INPUTS, CHANNELS, HEADS, 0.0, 3), GATConv(N_INPUTS, CHANNELS, HEADS, edge_dim=3)
    ours.load_state_dict(reference.state_dict())
    x = torch.randn(42, N_INPUTS)
    results = []
    for layer, arguments in ((ours, (edges,)), (reference, (links, attributes))):
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        out = layer(leaf, *arguments)
        (out**2).sum().backward()
        results.append([out.detach(), leaf.grad, *(dict(layer.named_parameters())[k].grad for k in ours.state_dict())])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["gat", "gat with attributes", "gatv2"])
def test_devices_without_row_kernels_compute_the_same(synthetic, monkeypatch, kind):
    adjacency = synthetic.sphere(1).adjacency()
    attributes = np.random.default_rng(0).normal(size=(adjacency.nnz, 2)).astype(np.float32)
    torch.manual_seed(3)
    layer = {
        "gat": lambda: Attention(N_INPUTS, CHANNELS, HEADS, 0.0),
        "gat with attributes": lambda: Attention(N_INPUTS, CHANNELS, HEADS, 0.0, 2),
        "gatv2": lambda: AttentionV2(N_INPUTS, CHANNELS, HEADS, 0.0),
    }[kind]()
    edges = MeshEdges.from_adjacency(adjacency, attributes if "attributes" in kind else None)
    results = []
    for has in (True, False):
        monkeypatch.setattr(layers, "has_kernels", lambda inputs, has=has: has)
        layer.zero_grad()
        x = torch.randn(42, N_INPUTS, generator=torch.Generator().manual_seed(2)).requires_grad_()
        out = layer(x, edges)
        (out**2).sum().backward()
        results.append([out.detach(), x.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    dropping = type(layer)(N_INPUTS, CHANNELS, HEADS, 0.5)
    x = torch.randn(42, N_INPUTS)
    assert (dropping(x, edges) != dropping(x, edges)).any()
    torch.testing.assert_close(dropping.eval()(x, edges), dropping(x, edges))


@pytest.mark.parametrize("layer", [Attention, AttentionV2])
def test_dropout_on_attention_keeps_the_mean(edges, layer):
    torch.manual_seed(0)
    attention = layer(N_INPUTS, CHANNELS, HEADS, 0.5)
    x = torch.randn(86, N_INPUTS)
    drawn = torch.stack([attention(x, edges) for _ in range(400)]).detach()
    assert (drawn[0] != drawn[1]).any()
    expected = attention.eval()(x, edges).detach()
    error = (drawn.mean(0) - expected).abs().mean()
    assert error < 0.1 * expected.abs().mean() < (drawn[0] - expected).abs().mean()
