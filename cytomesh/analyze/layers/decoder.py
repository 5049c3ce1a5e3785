"""The light decoder: feature maps, the patch itself and depth within the cortex to a class for each pixel of a tile."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cytomesh.analyze.layers.classes import N_CLASSES
from cytomesh.analyze.layers.config import DecoderConfig

LEAST_CONTRAST = 0.05
"""SD of the cortex of a tile below which its grey is not stretched, where the image's own SD is 1."""


class LayerDecoder(nn.Module):
    """Feature maps, grey and depth to logits of classes.

    Maps are brought to one width, enlarged and added up, as the semantic branch of panoptic feature pyramids
    (Kirillov et al., 2019); the finest of an encoder are coarser than thin layers, so that the patch itself joins as
    the last scale, as in U-Nets (Ronneberger et al., 2015), with the depth field beside it.

    Parameters
    ----------
    channels : sequence of int
        Of each map.
    config : DecoderConfig
    size_px : int
        Side of a tile of the segmentation.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig, size_px: int) -> None:
        super().__init__()
        self.size_px = size_px
        width, fine = config.width, config.fine_width
        # features of different depths differ in scale by orders of magnitude
        self.lateral = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(own), nn.Conv2d(own, width, 1)) for own in channels)
        self.block = nn.Sequential(nn.ReLU(inplace=True), *_convolution(width, width), nn.Conv2d(width, fine, 1))
        self.patch = nn.Sequential(*_convolution(2, fine), *_convolution(fine, fine)[:-1])
        self.last = nn.Sequential(nn.ReLU(inplace=True), *_convolution(fine, fine), nn.Conv2d(fine, N_CLASSES, 1))

    def forward(self, maps: Sequence[Tensor], images: Tensor, depths: Tensor) -> Tensor:
        """Return logits, (n, 8, size_px, size_px).

        Parameters
        ----------
        maps : sequence of (n, c, h, w)
        images : (n, c, s, s)
            Normalised patches.
        depths : (n, size_px, size_px) float32
            See `depth_field`.
        """
        finest = max((one.shape[-2:] for one in maps), key=lambda shape: shape[0])
        total = sum(
            functional.interpolate(lateral(one.float()), size=finest, mode="bilinear", align_corners=False)
            for lateral, one in zip(self.lateral, maps, strict=True)
        )
        size = (self.size_px, self.size_px)
        coarse = functional.interpolate(self.block(total), size=size, mode="bilinear", align_corners=False)
        grey = functional.interpolate(images.float().mean(dim=1, keepdim=True), size=size, mode="area")
        patch = torch.cat([stretched(grey, depths[:, None]), depths[:, None]], dim=1)
        logits: Tensor = self.last(coarse + self.patch(patch))
        return logits


def stretched(grey: Tensor, depths: Tensor) -> Tensor:
    """Return grey with mean 0 and SD 1 over the cortex of each tile, (n, 1, s, s): stains differ between sections."""
    is_cortex = ((depths > 0) & (depths < 1)).float()
    count = is_cortex.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (grey * is_cortex).sum(dim=(2, 3), keepdim=True) / count
    variance = ((grey - mean) ** 2 * is_cortex).sum(dim=(2, 3), keepdim=True) / count
    return ((grey - mean) / variance.sqrt().clamp(min=LEAST_CONTRAST)).clamp(-5, 5)


def _convolution(of: int, to: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(of, to, 3, padding=1, bias=False), nn.BatchNorm2d(to), nn.ReLU(inplace=True)
