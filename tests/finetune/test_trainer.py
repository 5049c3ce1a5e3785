"""Gradients through the graph, against the plain way: all patches encoded at once, the whole graph, autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from cytomesh.classify.attention import MeshEdges
from cytomesh.core.errors import TrainingError
from cytomesh.finetune.model import encode_nodes, fill
from cytomesh.finetune.sampling import node_batch


def images_of(trainer, rows):
    border = trainer.border_px
    patches = trainer.source.read(trainer.nodes.pool_row[rows])[..., border:-border, border:-border]
    return trainer.model.encoder.normalise(torch.from_numpy(patches.copy()))


def inputs_of(trainer):
    features = encode_nodes(trainer.model.encoder, trainer.source, trainer.nodes, trainer.border_px)
    trainer.model.standardise_on(features[torch.from_numpy(trainer.nodes.is_train)])
    return fill(trainer.model.standardise(features), trainer.nodes)


def gradients(trainer, loss):
    trainer.model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


def plain_loss(trainer, drawn):
    """All patches of `drawn`, ascending, encoded at once; the edges among them; mean over the training nodes."""
    nodes = trainer.nodes
    features = trainer.model.standardise(trainer.model.encoder(images_of(trainer, drawn)))
    edges = MeshEdges.from_adjacency(nodes.adjacency[drawn][:, drawn])
    logits = trainer.model.network(features, edges)[torch.from_numpy(nodes.is_train[drawn])]
    wanted = torch.from_numpy(nodes.targets[drawn][nodes.is_train[drawn]])
    smoothing = trainer.settings.schedule.label_smoothing
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, wanted[:, None])[:, 0]
    return -((1 - smoothing) * right + smoothing * log_p.mean(dim=1)).mean()


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole graph", "sample"])
@pytest.mark.parametrize("model", ["model.kind=gat", "model={kind: gcn, hidden: 8, layers: 2}"])
def test_gradients_are_those_of_plain_autograd(make_trainer, model, is_whole):
    trainer = make_trainer(model)
    trainer.model.eval()  # no dropout
    inputs_of(trainer)
    linked = np.flatnonzero(trainer.nodes.pool_row >= 0)
    batch = node_batch(trainer.nodes, linked) if is_whole else trainer.sampler.draw(0, 6, 4)
    loss = trainer.joint_loss(batch, images_of(trainer, batch.nodes))
    expected = plain_loss(trainer, np.sort(batch.nodes))
    torch.testing.assert_close(loss, expected)
    found, plain = gradients(trainer, loss), gradients(trainer, expected)
    assert found.keys() == plain.keys()
    assert any(name.startswith("encoder.") for name in found)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("model", ["model.kind=gat", "model={kind: mlp, hidden: 8}"])
def test_gradient_reaches_nodes_without_label_through_the_graph_only(make_trainer, model):
    trainer = make_trainer(model)
    trainer.model.eval()
    inputs_of(trainer)
    batch = node_batch(trainer.nodes, np.flatnonzero(trainer.nodes.pool_row >= 0))
    images = images_of(trainer, batch.nodes).requires_grad_()
    trainer.joint_loss(batch, images).backward()
    is_reached = images.grad.abs().amax(dim=(1, 2, 3)) > 0
    assert is_reached[: batch.n_targets].all()
    assert len(batch.nodes) > batch.n_targets
    assert is_reached[batch.n_targets :].any() == ("gat" in model)


def test_network_alone_learns_and_leaves_the_encoder_as_it_is(make_trainer):
    trainer = make_trainer("head.steps=30", "model.dropout=0")
    before = [p.clone() for p in trainer.model.encoder.parameters()]
    inputs = inputs_of(trainer)
    edges = MeshEdges.from_adjacency(trainer.nodes.adjacency)
    rows = torch.from_numpy(trainer.nodes.is_train)

    @torch.no_grad()
    def loss():
        trainer.model.eval()
        return float(functional.cross_entropy(trainer.model.network(inputs, edges)[rows], trainer.targets[rows]))

    first = loss()
    trainer.train_network(inputs)
    assert loss() < 0.7 * first
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.encoder.parameters(), strict=True))


def test_loss_that_is_not_finite_is_an_error(make_trainer):
    trainer = make_trainer("schedule.network_learning_rate=1e30", "schedule.warmup_steps=0")
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer.train()
