"""timm models of several kinds, and what they refuse."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from cytomesh.core.errors import ConfigError, FeatureError
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.pretrain.config import EncoderConfig, HeadConfig, PatchConfig, PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.projector import ProjectionHead, Projector, synchronise_batch_norm


def build(name: str, size_px: int = 64, **options: object) -> PatchEncoder:
    return PatchEncoder(EncoderConfig(name=name, **options), PatchConfig(size_px=size_px), AugmentConfig())


@pytest.mark.parametrize(
    ("name", "in_chans", "size_px", "patch_size"),
    [
        ("test_resnet", 1, 64, None),
        ("test_resnet", 3, 48, None),
        ("test_convnext", 1, 64, None),
        ("test_vit", 1, 96, 16),
        ("mobilenetv3_small_050", 1, 64, None),  # its features are wider than its last feature map
    ],
)
def test_features_have_the_declared_width(name, in_chans, size_px, patch_size):
    encoder = build(name, size_px, in_chans=in_chans, patch_size=patch_size).eval()
    patches = torch.randint(0, 256, (3, in_chans, size_px, size_px), dtype=torch.uint8)
    features = encoder.embed(patches)
    assert features.shape == (3, encoder.dim)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, encoder((patches / 255 - 0.5) / 0.25).detach())


def saved_bytes(encoder: PatchEncoder, size_px: int) -> int:
    """What a forward pass keeps for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {parameter.untyped_storage().data_ptr() for parameter in encoder.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = encoder(torch.zeros(1, 1, size_px, size_px))
    assert features.requires_grad
    return sum(size for place, size in kept.items() if place not in weights)


def test_strided_stem_keeps_a_ninth_of_the_memory():
    plain, strided = (build("resnet50", 256, in_chans=1, stem=stem) for stem in ("model", "strided"))
    assert strided.dim == plain.dim
    assert saved_bytes(strided, 256) < saved_bytes(plain, 256) / 6
    transformer = build("test_vit", 128, in_chans=1, stem="strided", patch_size=8)
    assert transformer(torch.zeros(2, 1, 128, 128)).shape == (2, transformer.dim)


def test_activation_checkpointing_gives_the_same_gradient():
    images = torch.randn((2, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    results = []
    for flag in (False, True):
        torch.manual_seed(0)
        encoder = build("test_vit", 64, in_chans=1, activation_checkpointing=flag)
        encoder(images).square().sum().backward()
        kept = saved_bytes(encoder, 64)
        results.append((kept, [parameter.grad for parameter in encoder.parameters() if parameter.grad is not None]))
    (much, plain), (little, checkpointed) = results
    assert little < much
    for a, b in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_of_a_file_are_used_as_they_are(tmp_path, suffix):
    torch.manual_seed(5)
    colour = timm.create_model("test_resnet", num_classes=7)  # as published: RGB, with a classifier
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(colour.state_dict(), path)
    else:
        torch.save(colour.state_dict(), path)
    rgb = build("test_resnet", in_chans=3, weights=str(path)).eval()
    images = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    expected = colour.eval().forward_head(colour.forward_features(images), pre_logits=True)
    torch.testing.assert_close(rgb(images), expected)
    grey = build("test_resnet", in_chans=1, weights=str(path)).eval()
    torch.testing.assert_close(grey(images[:, :1]), rgb(images[:, :1].repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match=r"encoder\.weights.*nothing\.pth"):
        build("test_resnet", in_chans=1, weights=str(tmp_path / "nothing.pth"))
    torch.save({"other": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"encoder\.weights.*no conv1"):
        build("test_resnet", in_chans=1, weights=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (lambda name, value: "running" not in name, "no conv1.1.running_mean, conv1.1.running_var, "),
        (lambda name, value: value.ndim != 1, "no conv1.1.weight, conv1.1.bias, "),
        (lambda name, value: name != "layer1.0.bn1.bias", "no layer1.0.bn1.bias for test_resnet"),
    ],
)
def test_weights_without_statistics_or_scales_are_refused(tmp_path, kept, message):
    """They would keep their first values, ones and zeros, without a word, and features would be others."""
    whole = timm.create_model("test_resnet").state_dict()
    torch.save({name: value for name, value in whole.items() if kept(name, value)}, tmp_path / "part.pth")
    with pytest.raises(ConfigError, match=rf"encoder\.weights: found {message}.*state_dict"):
        build("test_resnet", in_chans=1, weights=str(tmp_path / "part.pth"))
    old = {name: value for name, value in whole.items() if "num_batches" not in name}
    torch.save({"state_dict": {f"module.{name}": value for name, value in old.items()}}, tmp_path / "old.pth")
    build("test_resnet", in_chans=1, weights=str(tmp_path / "old.pth"))


def test_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match="test_resnet"):
        build("test_resnt", in_chans=1)


def test_impossible_options_are_one_clear_error():
    with pytest.raises(ConfigError, match="banana"):
        build("test_resnet", in_chans=1, options={"banana": 1})


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("layers", [2, 3])
def test_head_gives_unit_vectors(norm, layers):
    encoder = build("test_resnet", in_chans=1)
    head = ProjectionHead(encoder.dim, HeadConfig(layers=layers, hidden=24, out=10, norm=norm))
    vectors, logits = Projector(encoder, head)(torch.randn(4, 1, 64, 64))
    assert logits is None
    assert vectors.shape == (4, 10)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))


# timm's BatchNormAct2d also activates in all of these but the last, which has plain batch norm.
@pytest.mark.parametrize(
    "name",
    ["efficientnet_b0", "mobilenetv3_small_050", "resnetv2_50", "densenet121", "regnety_002", "vovnet39a", "resnet18"],
)
def test_synchronised_batch_norm_computes_the_same(name):
    torch.manual_seed(0)
    encoder = build(name, in_chans=1)
    plain = Projector(encoder, ProjectionHead(encoder.dim, HeadConfig(hidden=24, out=10)))
    state = {key: value.clone() for key, value in plain.state_dict().items()}
    synchronised = synchronise_batch_norm(deepcopy(plain))
    assert list(synchronised.state_dict()) == list(state)
    synchronised.load_state_dict(state)  # checkpoints and exports fit both
    norms = [type(module) for module in plain.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    found = [module for module in synchronised.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert nn.BatchNorm1d in norms  # the head's
    assert len(found) == len(norms)
    assert all(isinstance(module, nn.SyncBatchNorm) for module in found)
    images = torch.randn((4, 1, 64, 64), generator=torch.Generator().manual_seed(1))
    results = []
    for model in (plain, synchronised):
        torch.manual_seed(2)  # dropout
        vectors = model.train()(images).vectors  # alone, each normalises by its own patches
        vectors[:, 0].sum().backward()
        with torch.no_grad():
            features = model.eval().encoder(images)
        results.append([vectors, features, *(parameter.grad for parameter in model.parameters())])
    for expected, value in zip(*results, strict=True):
        torch.testing.assert_close(value, expected)


def test_settings_that_contradict_each_other():
    with pytest.raises(ValidationError, match="none given"):
        PretrainConfig.model_validate({"objectives": {}})
    with pytest.raises(ValidationError, match="views: 2"):
        PretrainConfig.model_validate({"objectives": {"simclr": {}}})
    with pytest.raises(ValidationError, match="every_steps"):
        PretrainConfig.model_validate({"monitor": {"patience": 3}})
    with pytest.raises(ValidationError, match="normal_factor"):
        spatial = {"distance": "geodesic", "normal_factor": 2.0}
        PretrainConfig.model_validate({"objectives": {"spatial_nce": spatial}})
    with pytest.raises(ValidationError, match="warmup_steps"):
        PretrainConfig.model_validate({"schedule": {"steps": 10, "warmup_steps": 20}})


def test_patches_that_are_not_those_of_the_encoder_are_refused():
    encoder = build("test_resnet", 32, in_chans=1)
    patches = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), np.uint8)
    torch.testing.assert_close(encoder.eval().embed(patches), encoder.embed(torch.from_numpy(patches)))
    for wrong in (patches.astype(np.float32), patches[:, :, :8], patches[:, 0], np.repeat(patches, 2, axis=1)):
        with pytest.raises(FeatureError, match=r"expected \(n, 1 or 3, 32, 32\) uint8.*size_px=32"):
            encoder.embed(wrong)


@pytest.mark.parametrize(
    ("in_chans", "patch_size", "options"),
    [
        (1, 16, {}),
        (3, None, {}),
        (1, 16, {"reg_tokens": 3}),
        (1, 16, {"class_token": False, "reg_tokens": 2, "global_pool": "avg"}),  # no norm before it pools
    ],
)
def test_layers_are_the_mean_tokens_of_their_blocks_side_by_side(in_chans, patch_size, options):
    given = {"in_chans": in_chans, "patch_size": patch_size, "options": options}
    torch.manual_seed(0)
    whole = build("test_vit", 96, **given).eval()
    torch.manual_seed(0)
    fused = build("test_vit", 96, layers=[0, 3], **given).eval()
    images = torch.randn(2, in_chans, 96, 96)
    seen = {}
    for i in (0, 3):
        whole.backbone.blocks[i].register_forward_hook(lambda _m, _in, out, i=i: seen.update({i: out}))
    whole(images)
    expected = [whole.backbone.norm(seen[i])[:, whole.backbone.num_prefix_tokens :].mean(dim=1) for i in (0, 3)]
    assert fused.dim == 2 * whole.dim
    torch.testing.assert_close(fused(images), torch.cat(expected, dim=1))


def test_layers_of_a_cnn_are_the_means_of_its_maps_and_nothing_idle_is_kept():
    encoder = build("test_resnet", in_chans=1, layers=[1, 2], stem="strided")
    assert encoder.training
    encoder(torch.randn(2, 1, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    model, images = encoder.eval().backbone.model, torch.randn(2, 1, 64, 64)
    x = model.maxpool(model.act1(model.bn1(model.conv1(encoder.backbone.stem(images)))))
    first = model.layer1(x)
    expected = torch.cat([first.mean(dim=(2, 3)), model.layer2(first).mean(dim=(2, 3))], dim=1)
    torch.testing.assert_close(encoder(images), expected)


def test_layers_that_a_model_does_not_have_are_named():
    with pytest.raises(ConfigError, match=r"encoder.layers: found \[2, 99\] of test_vit"):
        build("test_vit", 96, in_chans=1, layers=[2, 99])
    with pytest.raises(ConfigError, match="expected layers of this model"):
        build("test_resnet", in_chans=1, layers=[7])
    for wrong in ([], [3, 1], [-1]):
        with pytest.raises(ValidationError):
            EncoderConfig(layers=wrong)


def test_encoders_without_layers_expect_what_they_did():
    plain, fused = build("test_vit", 96, in_chans=1), build("test_vit", 96, in_chans=1, layers=[1])
    assert "layers" not in plain.expects
    assert fused.expects["layers"] == [1] and fused.expects.keys() - {"layers"} == plain.expects.keys()
