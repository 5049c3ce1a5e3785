"""Features of nodes: the encoder's, standardised, whatever patches are encoded together; missing ones filled in."""

from __future__ import annotations

import numpy as np
import torch

from cytomesh.finetune.model import encode_nodes


def test_features_of_all_nodes_are_those_of_embed(make_trainer):
    trainer = make_trainer()
    model, nodes, border = trainer.model.eval(), trainer.nodes, trainer.border_px
    model.standardise_on(encode_nodes(model, trainer.source, nodes, border))
    found = encode_nodes(model, trainer.source, nodes, border).numpy()
    linked = np.flatnonzero(nodes.pool_row >= 0)
    patches = trainer.source.read(nodes.pool_row[linked])[..., border:-border, border:-border]
    # one by one: a batch must not change its patches' features
    plain = np.concatenate([model.encoder.embed(torch.from_numpy(patch[None].copy())).numpy() for patch in patches])
    expected = (plain - model.centre.numpy()) / model.scale.numpy()
    np.testing.assert_allclose(found[linked], expected, rtol=1e-3, atol=1e-4)
    assert len(linked) < len(nodes)
    assert np.isfinite(found).all()


def test_standardised_inputs_have_mean_0_and_sd_1(make_trainer):
    trainer = make_trainer()
    rows = torch.from_numpy(trainer.nodes.is_train)
    for _ in range(2):  # again changes nothing
        features = encode_nodes(trainer.model.eval(), trainer.source, trainer.nodes, trainer.border_px)
        trainer.model.standardise_on(features[rows])
    features = encode_nodes(trainer.model, trainer.source, trainer.nodes, trainer.border_px)[rows]
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(features.shape[1]), atol=1e-4, rtol=0)
    spread = features.std(dim=0, correction=0)
    assert ((spread - 1).abs() < 1e-3).logical_or(spread < 1e-3).all()  # what is constant stays so


def test_normalisation_keeps_the_statistics_of_pretraining(make_trainer):
    trainer = make_trainer()
    trainer.model.train()
    assert trainer.model.network.training
    assert not any(module.training for module in trainer.model.encoder.modules())
