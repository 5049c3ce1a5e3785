"""Encoders with random weights, and patches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.random import isolated_seed
from cytomesh.imaging.augment import AugmentConfig
from cytomesh.pretrain.config import EncoderConfig, PatchConfig
from cytomesh.pretrain.encoder import PatchEncoder


def encoder(name: str, size_px: int = 32, **settings: Any) -> PatchEncoder:
    """An untrained encoder of grey patches, in evaluation mode."""
    with isolated_seed(0, "weights"):
        config = EncoderConfig.model_validate({"name": name, "in_chans": 1, **settings})
        return PatchEncoder(config, PatchConfig(size_px=size_px), AugmentConfig()).eval()


def some_patches(n: int = 3, size_px: int = 32) -> NDArray[np.uint8]:
    """Grey noise."""
    return np.random.default_rng(0).integers(0, 256, (n, 1, size_px, size_px), dtype=np.uint8)
