"""Colours of parcels: similar features, similar colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.labels import LabelTable
from cytomesh.parcellate.features import principal_components

# Ranges of CIELAB that stay inside sRGB for most hues: lightness, green-red, blue-yellow.
LIGHTNESS = (38.0, 82.0)
CHROMA = 55.0


def parcel_table(values: NDArray[np.float64], parcels: NDArray[np.int64]) -> LabelTable:
    """Name and colour the parcels 1..k by their mean features.

    The first two principal components of the mean features are hue and saturation (a and b of CIELAB, in which
    equal distances look about equally different), the third is lightness.

    Parameters
    ----------
    values : (m, q) float64
    parcels : (m,) int64
        1..k, none empty.
    """
    from skimage.color import lab2rgb  # heavy: not at import time of the command line

    k = int(parcels.max())
    count = np.bincount(parcels, minlength=k + 1)[1:]
    means = np.stack([np.bincount(parcels, column, k + 1)[1:] for column in values.T], axis=1) / count[:, None]
    axes = np.zeros((k, 3))
    scores = principal_components(means, 3) if k > 1 else np.zeros((1, 1))
    axes[:, : scores.shape[1]] = scores
    # Ranks along each axis, mixed with the values: outliers would leave everything else one colour.
    spread = np.argsort(np.argsort(axes, axis=0), axis=0) / max(k - 1, 1) * 2.0 - 1.0
    scaled = axes / np.maximum(np.abs(axes).max(axis=0), 1e-12)
    mixed = 0.5 * (spread + scaled)
    middle, half = np.mean(LIGHTNESS), 0.5 * (LIGHTNESS[1] - LIGHTNESS[0])
    lab = np.column_stack([middle + half * mixed[:, 2], CHROMA * mixed[:, 0], CHROMA * mixed[:, 1]])
    red_green_blue = np.clip(lab2rgb(lab[None])[0], 0.0, 1.0)
    names = tuple(f"parcel {index}" for index in range(1, k + 1))
    return LabelTable(tuple(range(1, k + 1)), names, np.column_stack([red_green_blue, np.ones(k)]))
