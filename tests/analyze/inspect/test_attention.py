"""Attention as the network computes it: beside softmax(q k^T) from its own weights, and beside its own output."""

import numpy as np
import pytest
import torch

from cytomesh.analyze.inspect.attention import ALL_TOKENS, CLASS_TOKEN, attention_maps
from cytomesh.core.config import load_config, preset
from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export import build_encoder
from tests.analyze.inspect.encoders import encoder, some_patches


def by_hand(model, patches):
    """Attention, (n, h, t, t), of each block from its own weights, and what follows from it beside its output."""
    seen = {}
    for number, block in enumerate(model.backbone_model.blocks):
        block.attn.register_forward_pre_hook(lambda _, given, n=number: seen.update({(n, "in"): given[0]}))
        block.attn.proj.register_forward_pre_hook(lambda _, given, n=number: seen.update({(n, "out"): given[0]}))
    model.embed(patches)
    result = []
    for number, block in enumerate(model.backbone_model.blocks):
        x, attn = seen[number, "in"], block.attn
        n, t, _ = x.shape
        qkv = attn.qkv(x).reshape(n, t, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = attn.q_norm(qkv[0]), attn.k_norm(qkv[1]), qkv[2]
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)
        torch.testing.assert_close((weights @ v).transpose(1, 2).flatten(2), seen[number, "out"])
        result.append(weights)
    return result


def with_model(made):
    backbone = made.backbone
    object.__setattr__(made, "backbone_model", getattr(backbone, "model", backbone))
    return made


@pytest.mark.parametrize(
    ("name", "settings", "query", "n_prefix"),
    [
        ("test_vit", {"patch_size": 8}, CLASS_TOKEN, 1),
        ("test_vit", {"patch_size": 8, "options": {"qk_norm": True}}, CLASS_TOKEN, 1),
        ("test_vit", {"patch_size": 8, "options": {"reg_tokens": 3}}, CLASS_TOKEN, 4),
        ("test_vit", {"patch_size": 8, "options": {"global_pool": "avg"}}, ALL_TOKENS, 1),
        ("test_vit2", {"patch_size": 8}, ALL_TOKENS, 1),
        ("test_vit3", {"patch_size": 8}, ALL_TOKENS, 1),  # pooled by attention, which is none between tokens
        ("test_vit", {"patch_size": 2, "stem": "strided"}, CLASS_TOKEN, 1),
    ],
)
def test_maps_are_what_the_blocks_compute_with(name, settings, query, n_prefix):
    model, patches = with_model(encoder(name, **settings)), some_patches()
    before = model.embed(patches)
    found = attention_maps(model, patches, layers=(0, 1, -1))
    with torch.inference_mode():
        weights = by_hand(model, patches)
    assert found.query == query and found.n_layers == len(weights) and found.layers == (1, 2, len(weights))
    for place, layer in enumerate((0, 1, -1)):
        rows = weights[layer][:, :, :1] if query == CLASS_TOKEN else weights[layer][:, :, n_prefix:]
        expected = rows.mean(dim=2)[..., n_prefix:].reshape(*rows.shape[:2], 4, 4)
        np.testing.assert_allclose(found.maps[:, place], expected, atol=1e-6)
    torch.testing.assert_close(model.embed(patches), before)


def test_tokens_stand_where_they_are_in_the_patch():
    """Without position embeddings, the one bright token of a dark patch stands out, and stands where it is."""
    model = encoder("test_vit", patch_size=8)
    patches = np.zeros((1, 1, 32, 32), np.uint8)
    patches[0, 0, 8:16, 24:32] = 255
    with torch.no_grad():
        model.backbone.pos_embed.zero_()
        model.backbone.blocks[0].attn.qkv.weight.mul_(50)  # random ones hardly tell tokens apart
    found = attention_maps(model, patches, layers=(0,)).maps[0, 0]
    for head in found:
        others = np.delete(head.ravel(), 1 * 4 + 3)
        assert np.ptp(others) < 1e-5 and abs(head[1, 3] - others[0]) > 1e-3


@pytest.mark.parametrize("name", ["test_vit_relpos", "vit_tiny_patch16_dinov3_qkvb"])
def test_biases_and_rotary_embeddings_are_part_of_it(name):
    """The fused and the spelt-out way of timm agree on the features, and the maps on both."""
    model = encoder(name, patch_size=16, options={"depth": 2})
    found = attention_maps(model, some_patches())
    assert found.maps.shape[-2:] == (2, 2) and found.n_layers == 2
    total = found.maps.sum(axis=(-1, -2))
    assert (total <= 1 + 1e-5).all() and (total > 0.2).all()
    weights = []
    drops = [module for name, module in model.named_modules() if name.endswith("attn_drop")]
    for block in model.backbone.blocks:
        block.attn.fused_attn = False
    for drop in drops:
        drop.register_forward_pre_hook(lambda _, given: weights.append(given[0]))
    model.embed(some_patches())
    n_prefix = weights[0].shape[-1] - 4
    for place in (0, -1):
        expected = weights[place][:, :, n_prefix:, n_prefix:].mean(dim=2).unflatten(-1, (2, 2))
        np.testing.assert_allclose(found.maps[:, place], expected, atol=1e-6)
    again = attention_maps(model, some_patches())  # timm spells it out: switched for the while
    np.testing.assert_allclose(again.maps, found.maps, atol=1e-6)
    assert not any(block.attn.fused_attn for block in model.backbone.blocks)


@pytest.mark.parametrize(
    ("name", "settings"), [("test_resnet", {}), ("swin_tiny_patch4_window7_224", {"options": {"depths": [1, 1, 1, 1]}})]
)
def test_networks_without_attention_over_all_tokens_are_refused(name, settings):
    with pytest.raises(ConfigError, match=rf"{name}: attention: found .*expected a ViT.*grad_cam"):
        attention_maps(encoder(name, **settings), some_patches(1))


def test_layers_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match=r"layer 6: found 6 layers, expected -6 to 5"):
        attention_maps(encoder("test_vit", patch_size=8), some_patches(1), layers=(6,))


def test_the_vit_of_the_demo_has_maps_of_half_a_millimetre():
    settings = load_config(PretrainConfig, preset("pretrain", "demo_vit"), ["encoder.in_chans=1"])
    found = attention_maps(build_encoder(settings).eval(), some_patches(2, settings.patches.size_px))
    assert found.maps.shape == (2, 2, 3, 8, 8) and found.n_layers == 4 and found.query == CLASS_TOKEN
