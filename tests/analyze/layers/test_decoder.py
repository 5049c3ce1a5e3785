"""The decoder: what its last scale sees, and that every input reaches the logits."""

import numpy as np
import pytest
import torch

from cytomesh.analyze.layers.classes import N_CLASSES
from cytomesh.analyze.layers.config import DecoderConfig
from cytomesh.analyze.layers.decoder import LayerDecoder, stretched


def test_grey_is_stretched_over_the_cortex_of_each_tile():
    random = np.random.default_rng(0)
    grey, depths = random.normal(size=(3, 1, 8, 8)).astype("f4"), random.uniform(-0.5, 1.5, (3, 1, 8, 8)).astype("f4")
    depths[2] = 1.2  # no cortex
    found = stretched(torch.from_numpy(grey), torch.from_numpy(depths)).numpy()
    for own, depth, result in zip(grey[:2, 0], depths[:2, 0], found[:2, 0], strict=True):
        inside = own[(depth > 0) & (depth < 1)]
        np.testing.assert_allclose(result, ((own - inside.mean()) / inside.std()).clip(-5, 5), atol=1e-5)
    assert np.isfinite(found).all()
    flat = stretched(torch.ones(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5))
    assert (flat == 0).all()
    # brightness and contrast of a stain change nothing
    again = stretched(torch.from_numpy(30 + 2 * grey), torch.from_numpy(depths)).numpy()
    np.testing.assert_allclose(again[:2], found[:2], atol=1e-4)


@pytest.mark.parametrize(("image_px", "size_px"), [(16, 16), (40, 10), (9, 12)])
def test_every_scale_reaches_the_logits(image_px, size_px):
    torch.manual_seed(0)
    decoder = LayerDecoder((3, 5), DecoderConfig(width=4, fine_width=3), size_px).eval()
    inputs = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4), torch.randn(2, 3, image_px, image_px)]
    inputs.append(torch.rand(2, size_px, size_px))
    for one in inputs:
        one.requires_grad_()
    logits = decoder(inputs[:2], *inputs[2:])
    assert logits.shape == (2, N_CLASSES, size_px, size_px)
    for one in torch.autograd.grad(logits.square().sum(), inputs):
        assert (one.abs().sum(dim=tuple(range(1, one.ndim))) > 0).all()
