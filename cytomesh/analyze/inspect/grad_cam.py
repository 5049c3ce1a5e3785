"""Where in a patch a CNN's feature comes from: gradient-weighted class activation maps without classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.encode import batch_slices
from cytomesh.pretrain.encoder import PatchEncoder, StridedModel, in_channels


def grad_cam(encoder: PatchEncoder, patches: Tensor | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return how much each place of the last feature map adds to the patch's feature, (n, r, c) float32, 0 or more.

    Grad-CAM (Selvaraju et al., 2017, eq. 1 and 2), ReLU(sum_k a_k A_k) with a_k the mean over places of dy / dA_k. There
    are no classes: y is the part of the feature that points where the feature itself points, its length, so that the
    map shows what makes the feature what it is.

    Parameters
    ----------
    encoder : PatchEncoder
        In evaluation mode.
    patches : (n, 1 or 3, s, s) uint8
        As for `PatchEncoder.embed`.

    Raises
    ------
    ConfigError
        If the network has no feature map (ViTs, see `attention_maps`).
    """
    device = next(encoder.parameters()).device
    given = torch.as_tensor(patches)
    parts = [
        _of_batch(encoder, given[batch].to(device))
        for batch in batch_slices(len(given), encoder.patches.size_px, device)
    ]
    return torch.cat(parts).cpu().numpy()


@torch.enable_grad()  # type: ignore[untyped-decorator]
def _of_batch(encoder: PatchEncoder, patches: Tensor) -> Tensor:
    backbone: Any = encoder.backbone
    images = in_channels(encoder.normalise(patches), encoder.config.in_chans or 1)
    with torch.no_grad():
        if isinstance(backbone, StridedModel):
            images, backbone = backbone.stem(images), backbone.model
        maps = backbone.forward_features(images)
    if maps.ndim != 4:
        hint = "attention_maps shows what a ViT attends to"
        found = f"{maps.ndim - 2} dimensions of tokens" if maps.ndim == 3 else f"an output of {maps.ndim} dimensions"
        raise ConfigError(encoder.config.name, "feature map", found=found, expected="rows and columns", hint=hint)
    maps = maps.detach().requires_grad_()
    features = backbone.forward_head(maps)
    length = (features * functional.normalize(features.detach(), dim=1)).sum()
    (gradient,) = torch.autograd.grad(length, maps)
    places, channel = ((1, 2), 3) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else ((2, 3), 1)
    weights = gradient.mean(dim=places, keepdim=True)
    return (weights * maps.detach()).sum(dim=channel).relu()
