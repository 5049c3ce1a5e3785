"""timm models of several kinds, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from cytomesh.core.errors import ConfigError
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.pretrain.config import EncoderConfig, HeadConfig, ObjectivesConfig, PatchConfig, PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder, ProjectionHead, Projector


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


def test_settings_that_contradict_each_other():
    with pytest.raises(ValidationError, match="none given"):
        PretrainConfig(objectives=ObjectivesConfig())
    with pytest.raises(ValidationError, match="views: 2"):
        PretrainConfig.model_validate({"objectives": {"simclr": {}}})
    with pytest.raises(ValidationError, match="warmup_steps"):
        PretrainConfig.model_validate({"schedule": {"steps": 10, "warmup_steps": 20}})
