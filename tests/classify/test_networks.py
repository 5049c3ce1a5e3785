import pytest
import torch
from pydantic import TypeAdapter

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.kinds import Model
from cytomesh.classify.layers import AttentionModel, ConvolutionModel
from cytomesh.classify.networks import MlpModel, make_network


@pytest.fixture
def edges(synthetic):
    return MeshEdges.from_adjacency(synthetic.sphere(1).adjacency())


@pytest.mark.parametrize(
    "settings",
    [
        MlpModel(kind="mlp", hidden=16),
        AttentionModel(kind="gat", hidden=16, heads=2),
        AttentionModel(kind="gat", hidden=16, heads=4, layers=5, jumping_knowledge=True),
        AttentionModel(kind="gatv2", hidden=16, heads=2),
        ConvolutionModel(kind="gcn", hidden=16),
        ConvolutionModel(kind="sage", hidden=16),
    ],
    ids=["mlp", "gat", "deep", "gatv2", "gcn", "sage"],
)
def test_shapes_and_every_weight_has_a_gradient(edges, settings):
    torch.manual_seed(0)
    network = make_network(settings, 7, 5)
    logits = network(torch.randn(42, 7), edges)
    assert logits.shape == (42, 5)
    (logits**2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("kind", ["gat", "gatv2", "gcn", "sage"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_layer_is_a_hop(edges, synthetic, layers, kind):
    settings = TypeAdapter(Model).validate_python({"kind": kind, "hidden": 8, "layers": layers})
    network = make_network(settings, 3, 2).eval()
    x = torch.randn(42, 3, requires_grad=True)
    network(x, edges)[0].sum().backward()
    reached = set(torch.nonzero(x.grad.abs().sum(1) > 0).flatten().tolist())
    adjacency = synthetic.sphere(1).adjacency()
    ring = {0}
    for _ in range(layers):
        ring |= {int(j) for i in ring for j in adjacency[i].indices}
    assert reached == ring


def test_a_perceptron_ignores_its_neighbours(edges):
    network = make_network(MlpModel(kind="mlp", hidden=8), 3, 2).eval()
    x = torch.randn(42, 3, requires_grad=True)
    network(x, edges)[0].sum().backward()
    assert torch.nonzero(x.grad.abs().sum(1)).flatten().tolist() == [0]
