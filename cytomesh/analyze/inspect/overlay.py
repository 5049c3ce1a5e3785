"""Maps of tokens as they are laid over a patch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize


def overlay(maps: NDArray[np.float32], size_px: int, gamma: float) -> NDArray[np.float64]:
    """Return maps at the size of their patch, as opacities: 0 where nothing is, 1 at the maximum of each map.

    Parameters
    ----------
    maps : (..., r, c) float
        0 or more.
    size_px : int
        Side of the result; bilinear between the centres of tokens.
    gamma : float
        Exponent; below 1 lifts what is weak.

    Returns
    -------
    (..., size_px, size_px) float64
    """
    flat = maps.reshape(-1, *maps.shape[-2:]).astype(np.float64)
    large = np.stack([resize(item, (size_px, size_px), order=1, mode="edge", anti_aliasing=False) for item in flat])
    most = large.max(axis=(1, 2), keepdims=True)
    shares = np.divide(large, most, out=np.zeros_like(large), where=most > 0)
    return np.clip(shares, 0.0, 1.0).reshape(*maps.shape[:-2], size_px, size_px) ** gamma
