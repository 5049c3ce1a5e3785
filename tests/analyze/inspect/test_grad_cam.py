"""Grad-CAM beside its closed form, where the feature is the mean of the last feature map."""

import numpy as np
import pytest
import torch

from cytomesh.analyze.inspect.grad_cam import grad_cam
from cytomesh.core.errors import ConfigError
from tests.analyze.inspect.encoders import encoder, some_patches


@pytest.mark.parametrize("settings", [{}, {"stem": "strided", "size_px": 1024}])
def test_places_add_up_to_the_length_of_the_feature(settings):
    """f = mean of A over places, so a_k = f_k / |f| / places, and sum_k a_k A_k is the share of each place in |f|."""
    size = settings.get("size_px", 256)
    model, patches = encoder("test_resnet", **{"size_px": size, **settings}), some_patches(2, size)
    found = grad_cam(model, patches)
    with torch.inference_mode():
        images = model.normalise(torch.from_numpy(patches))
        if "stem" in settings:
            images = model.backbone.stem(images)
        network = getattr(model.backbone, "model", model.backbone)
        maps = network.forward_features(images)
        features = model.embed(patches)
        torch.testing.assert_close(maps.mean(dim=(2, 3)), features)
        unit = features / features.norm(dim=1, keepdim=True)
        shares = torch.einsum("nk,nkrc->nrc", unit, maps) / maps[0, 0].numel()
    assert found.shape == (2, 8, 8)
    np.testing.assert_allclose(found, shares.relu(), atol=1e-6)
    np.testing.assert_allclose(shares.sum(dim=(1, 2)), features.norm(dim=1), rtol=1e-4)


def test_small_patches_are_shown_by_an_earlier_map():
    """The last map of a 64 px patch has 2 x 2 places: the gradient of the one with 8 x 8 by finite differences."""
    model, patches = encoder("test_resnet", size_px=64), some_patches(1, 64)
    found = grad_cam(model, patches)[0]
    model.double()
    assert found.shape == (8, 8)
    network, at = model.backbone, {}
    with torch.inference_mode():
        hook = network.layer2.register_forward_hook(lambda _, __, out: at.update(maps=out))
        feature = model(model.normalise(torch.from_numpy(patches)).double())
        hook.remove()
        maps, step = at["maps"], 1e-6

        def length(changed):
            return (network.forward_head(network.layer4(network.layer3(changed))) @ feature[0] / feature.norm()).item()

        weights = []
        for channel in range(maps.shape[1]):  # the mean gradient of a channel: all of its places move together
            moved = maps.clone()
            moved[:, channel] += step
            weights.append((length(moved) - length(maps)) / step / maps[0, 0].numel())
        expected = torch.einsum("k,krc->rc", torch.tensor(weights, dtype=torch.float64), maps[0]).relu()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max().item(), rtol=1e-3)


def test_channels_may_come_last():
    model = encoder("swin_tiny_patch4_window7_224", size_px=64, options={"depths": [1, 1, 1, 1], "embed_dim": 24})
    found = grad_cam(model, some_patches(2, 64))
    assert found.shape == (2, 8, 8) and (found >= 0).all() and np.ptp(found) > 0


def test_it_works_where_no_gradient_is_wanted_and_leaves_none():
    model = encoder("test_resnet", size_px=64)
    with torch.inference_mode():
        grad_cam(model, some_patches(1, 64))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_vit_is_refused():
    with pytest.raises(ConfigError, match=r"test_vit: Grad-CAM: found none, .*attention_maps"):
        grad_cam(encoder("test_vit", patch_size=8), some_patches(1))
