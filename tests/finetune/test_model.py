"""Features of nodes: the encoder's, standardised, whatever patches are encoded together; missing ones filled in."""

from __future__ import annotations

import numpy as np
import torch

from cytomesh.finetune.model import encode_nodes, fill
from cytomesh.pretrain import encode


def test_features_of_all_nodes_are_those_of_embed(make_trainer):
    trainer = make_trainer()
    encoder, nodes, border = trainer.model.encoder, trainer.nodes, trainer.border_px
    features = encode_nodes(encoder, trainer.source, nodes, border)
    linked = np.flatnonzero(nodes.pool_row >= 0)
    some = linked[::10]
    patches = trainer.source.read(nodes.pool_row[some])[..., border:-border, border:-border]
    # one by one: a batch must not change its patches' features
    expected = np.concatenate([encoder.embed(torch.from_numpy(patch[None].copy())).numpy() for patch in patches])
    np.testing.assert_allclose(features.numpy()[some], expected, rtol=1e-3, atol=1e-4)
    assert len(linked) < len(nodes)
    assert np.isnan(np.delete(features.numpy(), linked, axis=0)).all()
    assert torch.isfinite(fill(features, nodes)).all()


def test_large_patches_are_encoded_in_small_batches(make_trainer, monkeypatch):
    trainer = make_trainer()
    encoder, source = trainer.model.encoder, trainer.source
    whole = encode_nodes(encoder, source, trainer.nodes, trainer.border_px)
    monkeypatch.setitem(encode.BATCH_PX, "cpu", 7 * encoder.patches.size_px**2)
    sizes = []
    encoder.register_forward_pre_hook(lambda _, images: sizes.append(len(images[0])))
    features = encode_nodes(encoder, source, trainer.nodes, trainer.border_px, readers=2)
    assert max(sizes) == 7
    torch.testing.assert_close(features, whole, rtol=1e-3, atol=1e-4, equal_nan=True)


def test_standardised_inputs_have_mean_0_and_sd_1(make_trainer):
    model = make_trainer().model
    features = 3 + 5 * torch.randn(50, model.encoder.dim)
    features[:, 0] = 7
    model.standardise_on(features)
    inputs = model.standardise(features)
    torch.testing.assert_close(inputs.mean(dim=0), torch.zeros(inputs.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(inputs[:, 1:].std(dim=0, correction=0), torch.ones(inputs.shape[1] - 1))
    assert (inputs[:, 0] == 0).all()  # what is constant carries nothing


def test_normalisation_keeps_the_statistics_of_pretraining(make_trainer):
    trainer = make_trainer()
    trainer.model.train()
    assert trainer.model.network.training
    assert not any(module.training for module in trainer.model.encoder.modules())
