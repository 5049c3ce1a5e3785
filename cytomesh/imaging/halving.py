"""Coarser levels of an image: means of 2 x 2 pixels, again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.study.image_formats.reader import ImageLevel

# Images without coarser levels get them, down to about this size.
SMALLEST_PX = 128


def halve(array: NDArray[Any]) -> NDArray[Any]:
    """Average blocks of 2 x 2 pixels of an (h, w, c) image, in its type; an odd last row or column is repeated.

    Halves of whole numbers are rounded up.
    """
    wide = {"uint8": np.uint16, "uint16": np.uint32}.get(array.dtype.name, array.dtype)
    padded = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge").astype(wide)
    total = padded[0::2, 0::2] + padded[1::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 1::2]
    return total / 4 if total.dtype.kind == "f" else ((total + 2) >> 2).astype(array.dtype)


def halved_levels(shape: tuple[int, int]) -> tuple[ImageLevel, ...]:
    """Return the levels of an image that has one: halved until the larger side is below 2 * `SMALLEST_PX`."""
    levels = [ImageLevel("0", shape)]
    while max(shape) >= 2 * SMALLEST_PX:
        shape = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
        factor = float(2 ** len(levels))
        levels.append(ImageLevel(str(len(levels)), shape, (factor, factor), ((factor - 1) / 2, (factor - 1) / 2)))
    return tuple(levels)
