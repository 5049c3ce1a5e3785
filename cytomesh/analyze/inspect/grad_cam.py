"""Where in a patch a CNN's feature comes from: gradient-weighted class activation maps without classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cytomesh.analyze.places import LEAST_SIDE
from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.encode import batch_slices
from cytomesh.pretrain.encoder import PatchEncoder, StridedModel


def grad_cam(encoder: PatchEncoder, patches: Tensor | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much each place of a feature map adds to the patch's feature, (n, r, c) float32, 0 or more.

    Grad-CAM (Selvaraju et al., 2017, eq. 1 and 2): ReLU(sum_k a_k A_k) with a_k the mean over places of dy / dA_k.
    There are no classes: y is the part of the feature that points where the feature itself points, its length, so that
    the map shows what makes the feature what it is. A is the deepest feature map of at least 7 x 7 places.

    Parameters
    ----------
    encoder : PatchEncoder
        In evaluation mode.
    patches : (n, 1 or 3, s, s) uint8
        As for `PatchEncoder.embed`.

    Raises
    ------
    ConfigError
        If the network has no feature maps (ViTs, see `attention_maps`).
    """
    device = next(encoder.parameters()).device
    given = torch.as_tensor(patches)
    slices = batch_slices(len(given), encoder.patches.size_px, device)
    return torch.cat([_of_batch(encoder, given[some].to(device)) for some in slices]).cpu().numpy()


@torch.inference_mode(False)
@torch.enable_grad()
def _of_batch(encoder: PatchEncoder, patches: Tensor) -> Tensor:
    with _feature_maps(encoder) as found:
        # of images, so that networks whose weights are frozen have gradients, too
        features = encoder(encoder.normalise(patches.clone()).requires_grad_())
    if not found:
        hint = "attention_maps shows what a ViT attends to"
        expected = "feature maps of rows and columns"
        raise ConfigError(encoder.config.name, "Grad-CAM", found="none", expected=expected, hint=hint)
    # from the first to the last; smaller ones only where the patch leaves no larger
    large = [item for item in found if min(_places(item)) >= LEAST_SIDE]
    maps, n_channels = large[-1] if large else max(found, key=lambda item: min(_places(item)))
    length = (features * functional.normalize(features.detach(), dim=1)).sum()
    (gradient,) = torch.autograd.grad(length, maps)
    is_last = maps.shape[1] != n_channels
    channel, places = (3, (1, 2)) if is_last else (1, (2, 3))
    weights = gradient.mean(dim=places, keepdim=True)
    return (weights * maps.detach()).sum(dim=channel).relu().float()


def _places(item: tuple[Tensor, int]) -> tuple[int, int]:
    """Return rows and columns of a feature map, be its channels in front or behind."""
    maps, n_channels = item
    rows, columns = maps.shape[2:] if maps.shape[1] == n_channels else maps.shape[1:3]
    return int(rows), int(columns)


@contextmanager
def _feature_maps(encoder: PatchEncoder) -> Iterator[list[tuple[Tensor, int]]]:
    """Note the feature maps that timm lists of a model, and their numbers of channels, while it computes."""
    backbone = encoder.backbone
    model: Any = backbone.model if isinstance(backbone, StridedModel) else backbone
    found: list[tuple[Tensor, int]] = []
    hooks = []
    for info in getattr(model, "feature_info", ()):

        def note(_module: Any, _inputs: Any, output: Any, n_channels: int = info["num_chs"]) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                found.append((output, n_channels))

        hooks.append(model.get_submodule(info["module"]).register_forward_hook(note))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
