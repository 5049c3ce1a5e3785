"""Gradients through the graph, against the plain way: all patches encoded at once, the whole graph, autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from cytomesh.classify.attention import MeshEdges
from cytomesh.core.errors import TrainingError
from cytomesh.finetune.model import encode_nodes, fill
from cytomesh.finetune.sampling import network_hops, node_batch
from cytomesh.finetune.trainer import StepData


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


def whole_graph_loss(trainer, stored, rows, targets):
    """Features of `rows` from their patches, all others given; all nodes and edges; mean over `targets`."""
    features = stored.clone()
    features[torch.from_numpy(rows)] = trainer.model.standardise(trainer.model.encoder(images_of(trainer, rows)))
    logits = trainer.model.network(features, MeshEdges.from_adjacency(trainer.nodes.adjacency))
    wanted = torch.from_numpy(trainer.nodes.targets[targets])
    smoothing = trainer.settings.schedule.label_smoothing
    return functional.cross_entropy(logits[torch.from_numpy(targets)], wanted, label_smoothing=smoothing)


@pytest.mark.parametrize("model", ["model.kind=gat", "model.kind=gatv2", "model={kind: gcn, hidden: 8, layers: 2}"])
def test_gradient_of_all_patches_is_that_of_the_whole_graph(make_trainer, model):
    trainer = make_trainer(model)
    trainer.model.eval()  # no dropout
    nodes = trainer.nodes
    stored = inputs_of(trainer)
    linked = np.flatnonzero(nodes.pool_row >= 0)
    batch = node_batch(nodes, linked, network_hops(trainer.settings.model))
    data = StepData(batch, np.empty(0, np.uint8))
    loss = trainer.joint_loss(stored, data, images_of(trainer, batch.nodes[batch.drawn]))
    expected = whole_graph_loss(trainer, stored, linked, np.flatnonzero(nodes.is_train))
    torch.testing.assert_close(loss, expected)
    found, plain = gradients(trainer, loss), gradients(trainer, expected)
    assert found.keys() == plain.keys()
    assert any(name.startswith("encoder.") for name in found)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: name + text)


def test_gradient_of_some_patches_leaves_the_others_as_they_are(make_trainer):
    trainer = make_trainer()
    trainer.model.eval()
    stored = inputs_of(trainer)
    data = trainer.read(0)
    batch = data.batch
    drawn = batch.nodes[batch.drawn]
    loss = trainer.joint_loss(stored, data, images_of(trainer, drawn))
    expected = whole_graph_loss(trainer, stored, drawn, batch.nodes[: batch.n_targets])
    found, plain = gradients(trainer, loss), gradients(trainer, expected)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: name + text)


def test_gradient_reaches_neighbours_without_label_through_the_graph(make_trainer):
    trainer = make_trainer("sampling.neighbours=4")
    trainer.model.eval()
    stored = inputs_of(trainer)
    data = trainer.read(1)
    drawn = data.batch.nodes[data.batch.drawn]
    images = images_of(trainer, drawn).requires_grad_()
    trainer.joint_loss(stored, data, images).backward()
    reached = images.grad.abs().amax(dim=(1, 2, 3)) > 0
    others = torch.from_numpy(~trainer.nodes.is_train[drawn])
    assert others.any()
    assert reached.all()


def test_network_alone_learns_and_leaves_the_encoder_as_it_is(make_trainer):
    trainer = make_trainer("head={steps: 30, nodes_per_batch: 60}", "model.dropout=0")
    before = [p.clone() for p in trainer.model.encoder.parameters()]
    stored = inputs_of(trainer)
    edges = MeshEdges.from_adjacency(trainer.nodes.adjacency)
    rows = torch.from_numpy(trainer.nodes.is_train)

    @torch.no_grad()
    def loss():
        trainer.model.eval()
        return float(functional.cross_entropy(trainer.model.network(stored, edges)[rows], trainer.targets[rows]))

    first = loss()
    trainer.train_network(stored)
    assert loss() < 0.7 * first
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.encoder.parameters(), strict=True))


def test_loss_that_is_not_finite_is_an_error(make_trainer):
    trainer = make_trainer("schedule.network_learning_rate=1e30", "schedule.warmup_steps=0")
    with pytest.raises(TrainingError, match="learning_rate"):
        trainer.train()
