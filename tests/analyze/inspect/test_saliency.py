"""Attention where there is any, Grad-CAM elsewhere, and how either is laid over a patch."""

import numpy as np
import pytest

from cytomesh.analyze.inspect.attention import attention_maps
from cytomesh.analyze.inspect.grad_cam import grad_cam
from cytomesh.analyze.inspect.saliency import Saliency, overlay, read_saliency, saliency, write_saliency
from cytomesh.core.errors import ConfigError
from cytomesh.core.tables import read_table
from tests.analyze.inspect.encoders import encoder, some_patches


def test_a_vit_is_shown_by_its_attention(caplog):
    model, patches = encoder("test_vit", patch_size=8), some_patches()
    found = saliency(model, patches)
    assert found.method == "attention" and found.query == "class token"
    assert found.panels == tuple(f"layer {layer} of 6, head {head}" for layer in (1, 6) for head in (1, 2))
    np.testing.assert_array_equal(found.maps, attention_maps(model, patches).maps)


def test_a_cnn_is_shown_by_grad_cam_and_that_is_said(capsys):
    model, patches = encoder("test_resnet", size_px=64), some_patches(2, 64)
    found = saliency(model, patches)
    assert found.method == "Grad-CAM" and found.maps.shape == (2, 1, 1, 8, 8) and not found.query
    np.testing.assert_array_equal(found.maps[:, 0, 0], grad_cam(model, patches))
    assert "Grad-CAM, as test_resnet has no attention" in capsys.readouterr().err


def test_a_network_with_neither_is_refused_in_the_words_of_the_user():
    with pytest.raises(ConfigError, match="mixer_s32_224: found neither attention .* nor feature maps.*a ViT or a CNN"):
        saliency(encoder("mixer_s32_224", size_px=64), some_patches(1, 64))


def test_maps_are_read_as_they_were_written(tmp_path):
    maps = np.random.default_rng(0).random((2, 2, 3, 4, 5), np.float32)
    panels = tuple(f"layer {layer}, head {head}" for layer in (1, 9) for head in (1, 2, 3))
    write_saliency(tmp_path / "maps.parquet", Saliency(maps, "attention", panels, "class token"))
    np.testing.assert_array_equal(read_saliency(tmp_path / "maps.parquet"), maps.reshape(2, 6, 4, 5))
    table = read_table(tmp_path / "maps.parquet")
    here = (
        (table["example"] == 1) & (table["panel"] == "layer 9, head 2") & (table["row"] == 3) & (table["column"] == 4)
    )
    assert table["value"][here].tolist() == [maps[1, 1, 1, 3, 4]]


def test_overlays_are_shares_of_the_maximum():
    maps = np.array([[[0.0, 0.0], [0.0, 0.4]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    found = overlay(maps, 8, 0.5)
    assert found.shape == (2, 8, 8)
    assert found[0, 7, 7] == 1 and found[0, 0, 0] == 0 and not found[1].any()
    linear = overlay(maps[:1], 8, 1.0)[0]
    np.testing.assert_allclose(found[0], linear**0.5)
    # half way between the centres of the tokens, rows 1.5 and 5.5, half of the attention
    np.testing.assert_allclose(linear[7, 3:5].mean(), 0.5, atol=1e-6)
