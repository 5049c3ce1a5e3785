"""The light decoder: each map to one width, enlarged and added up, one block, and a class for each pixel of a tile."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from cytomesh.analyze.layers.classes import N_CLASSES
from cytomesh.analyze.layers.config import DecoderConfig


class LayerDecoder(nn.Module):
    """Feature maps to logits of classes, as the semantic branch of panoptic feature pyramids (Kirillov et al., 2019).

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
        # features of different depths differ in scale by orders of magnitude
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(own), nn.Conv2d(own, config.width, 1)) for own in channels
        )
        self.block = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(config.width, config.width, 3, padding=1, bias=False),
            nn.BatchNorm2d(config.width),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.width, N_CLASSES, 1),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return logits, (n, 8, size_px, size_px), of maps, (n, c, h, w) each."""
        finest = max((one.shape[-2:] for one in maps), key=lambda shape: shape[0])
        total = sum(
            functional.interpolate(lateral(one.float()), size=finest, mode="bilinear", align_corners=False)
            for lateral, one in zip(self.lateral, maps, strict=True)
        )
        size = (self.size_px, self.size_px)
        logits: Tensor = functional.interpolate(self.block(total), size=size, mode="bilinear", align_corners=False)
        return logits
