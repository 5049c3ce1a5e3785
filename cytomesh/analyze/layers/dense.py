"""Feature maps of an encoder: stages of a CNN, or token grids of a transformer's blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cytomesh.core.errors import FeatureError
from cytomesh.pretrain.encoder import PatchEncoder, StridedModel, in_channels


class DenseEncoder(nn.Module):
    """Patches to feature maps, by timm's `forward_intermediates`.

    Parameters
    ----------
    name : str
        Of the encoder, for messages.
    encoder : PatchEncoder
    n_maps : int
        Maps that are read: of a CNN, whose stages halve the map, the finest; of a network whose maps all have one size,
        evenly spread, with the last.

    Attributes
    ----------
    channels : tuple of int
        Of each map.
    places : (int, int)
        Rows and columns of the finest.

    Raises
    ------
    FeatureError
        If the network has no maps: timm gives none, or what it gives has no rows and columns.
    """

    def __init__(self, name: str, encoder: PatchEncoder, n_maps: int) -> None:
        super().__init__()
        self.encoder = encoder
        backbone = encoder.backbone
        self.stem = backbone.stem if isinstance(backbone, StridedModel) else nn.Identity()
        self.model: Any = backbone.model if isinstance(backbone, StridedModel) else backbone
        self.indices: list[int] | None = None
        size = encoder.patches.size_px
        with torch.no_grad():
            maps = self._probe(name, torch.zeros(1, encoder.config.in_chans or 1, size, size))
        self.indices = chosen([tuple(one.shape[2:]) for one in maps], n_maps)
        self.channels = tuple(int(maps[i].shape[1]) for i in self.indices)
        self.places = max(tuple(maps[i].shape[2:]) for i in self.indices)

    def _probe(self, name: str, patch: Tensor) -> list[Tensor]:
        was_training = self.training
        self.encoder.eval()
        fault = ""
        try:
            maps = self(patch.to(next(self.encoder.parameters()).device))
        except (AttributeError, NotImplementedError, TypeError, ValueError, AssertionError) as cause:
            fault, maps = f"timm gives none ({type(cause).__name__}: {cause})", []
        self.train(was_training)
        if not fault and any(one.ndim != 4 for one in maps):
            fault = f"what timm gives has shapes {', '.join(str(tuple(one.shape)) for one in maps)}"
        if fault:
            found = f"{self.encoder.config.name} without a grid of features: {fault}"
            hint = "choose an encoder whose timm model has forward_intermediates, such as a ResNet, ConvNeXt or ViT"
            raise FeatureError(f"encoder '{name}'", found=found, expected="feature maps (n, c, h, w)", hint=hint)
        return list(maps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps, (n, c, h, w) each, of normalised images, (n, c, s, s)."""
        images = self.stem(in_channels(images, self.encoder.config.in_chans or 1))
        if self.encoder.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = self.model.forward_intermediates(
            images, indices=self.indices, output_fmt="NCHW", intermediates_only=True
        )
        return maps


def chosen(shapes: list[tuple[int, ...]], n_maps: int) -> list[int]:
    """Return which of an encoder's maps are read, by their shapes.

    Examples
    --------
    >>> chosen([(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)], 4)
    [0, 1, 2, 3]
    >>> chosen([(14, 14)] * 12, 4)
    [2, 5, 8, 11]
    """
    n = min(n_maps, len(shapes))
    if len(set(shapes)) > 1:
        return list(range(n))
    return [int(i) for i in np.linspace(0, len(shapes), n + 1)[1:].round().astype(int) - 1]
