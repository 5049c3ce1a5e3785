"""Oriented patches: squares around image links, rotated so that the pial side is up, at a given um/px."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.imaging.pyramid import Pyramid

# Patches are gathered by cells of this size (level pixels), so that neighbours share one read.
CELL_PX = 2048
# A level up to this much coarser than the target still counts as fine enough (rounding of declared pixel sizes).
SLACK = 1.02


def read_patches(
    pyramid: Pyramid,
    um_per_px_of_level0: float,
    pixels: NDArray[np.float64],
    angles_deg: NDArray[np.float64],
    size_px: int,
    um_per_px: float,
    background: int = 255,
) -> NDArray[np.uint8]:
    """Read square patches, pial side up.

    The coarsest level that is not coarser than the target is sampled bilinearly; where it is finer, each target
    pixel averages k x k samples spread over its area (k = pixel size ratio, rounded up), so nothing aliases.

    Parameters
    ----------
    pyramid : Pyramid
        The section's image.
    um_per_px_of_level0 : float
        Pixel size of level 0, um.
    pixels : (n, 2) float64
        (column, row) of the patch centres at level 0; the centre of an even patch lies between its middle pixels.
    angles_deg : (n,) float64
        Direction of the pial side, degrees counter-clockwise in (column, row-up): 90 leaves the image as it is.
    size_px : int
        Side of a patch, pixels.
    um_per_px : float
        Pixel size of the patches, um.
    background : int
        Value outside the image.

    Returns
    -------
    (n, n_channels, size_px, size_px) uint8

    Raises
    ------
    ImageError
        If positions, angles or sizes are none, or the image cannot be read.
    """
    pixels, angles = np.asarray(pixels, np.float64), np.deg2rad(np.asarray(angles_deg, np.float64))
    n = len(pixels)
    if pixels.shape != (n, 2) or angles.shape != (n,) or not (np.isfinite(pixels).all() and np.isfinite(angles).all()):
        found = f"positions {pixels.shape}, angles {angles.shape}"
        raise ImageError(pyramid.path, found=found, expected="finite (n, 2) columns and rows, (n,) angles")
    if size_px < 1 or not (um_per_px > 0 and um_per_px_of_level0 > 0):
        found = f"size_px {size_px}, um_per_px {um_per_px}, um_per_px_of_level0 {um_per_px_of_level0}"
        raise ImageError(pyramid.path, found=found, expected="positive sizes")
    out = np.full((len(pixels), pyramid.n_channels, size_px, size_px), background, np.uint8)
    step = um_per_px / um_per_px_of_level0
    index = choose_level(pyramid.level_scales, step)
    level = pyramid.levels[index]
    # Position and step in the level's own (row, column) pixels.
    centres = (pixels[:, ::-1] - level.offset) / level.scale
    step_level = step / pyramid.level_scales[index]
    n_samples = max(1, math.ceil(step_level / SLACK))
    reach = 0.5 * math.sqrt(2) * size_px * step_level + 2
    for group in _groups(centres):
        low = np.maximum(np.floor(centres[group].min(axis=0) - reach), 0).astype(int)
        high = np.minimum(np.ceil(centres[group].max(axis=0) + reach) + 1, level.shape).astype(int)
        if (high <= low).any():
            continue
        # One memory layout, so that the kernel is compiled once.
        window = np.ascontiguousarray(pyramid.read(index, int(low[0]), int(high[0]), int(low[1]), int(high[1])))
        _sample(window, centres[group] - low, angles[group], step_level, n_samples, background, group, out)
    return out


def choose_level(level_scales: tuple[float, ...], step: float) -> int:
    """Return the coarsest level whose pixels are not larger than the target's (`step`, in pixels of level 0)."""
    fine_enough = [i for i, scale in enumerate(level_scales) if scale <= step * SLACK]
    return max(fine_enough, key=lambda i: level_scales[i], default=0)


def _groups(centres: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Split patches into groups that lie in the same cell of the image."""
    if not len(centres):
        return []
    cells = np.floor(centres / CELL_PX).astype(np.int64)
    order = np.lexsort((cells[:, 1], cells[:, 0]))
    breaks = np.flatnonzero((np.diff(cells[order], axis=0) != 0).any(axis=1)) + 1
    return list(np.split(order, breaks))


@numba.njit(cache=True, nogil=True)
def _sample(window, centres, angles, step, n_samples, background, rows_out, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sample every patch of a group; arrays as in `read_patches`, positions (row, column) in the window."""
    height, width, n_channels = window.shape
    size = out.shape[2]
    middle = 0.5 * (size - 1)
    share = np.float32(1.0 / (n_samples * n_samples))
    # Where the samples of one target pixel lie, in target pixels from its centre.
    spread = (np.arange(n_samples) + 0.5) / n_samples - 0.5
    for p in range(len(centres)):
        sine, cosine = math.sin(angles[p]) * step, math.cos(angles[p]) * step
        row, column = centres[p, 0], centres[p, 1]
        reach = 0.5 * size * (abs(sine) + abs(cosine)) + 1.0
        # The image's border concerns few patches: the others do without comparisons.
        is_inside = min(row, column) >= reach and row + reach < height and column + reach < width
        for c in range(n_channels):
            for i in range(size):
                for j in range(size):
                    total = np.float32(0.0)
                    for a in range(n_samples):
                        down = i - middle + spread[a]
                        for b in range(n_samples):
                            right = j - middle + spread[b]
                            y = row + right * cosine + down * sine
                            x = column + right * sine - down * cosine
                            if is_inside:
                                total += _bilinear(window, c, y, x)
                            elif y < -0.5 or x < -0.5 or y > height - 0.5 or x > width - 0.5:
                                # Half a pixel beyond the outermost centres is still image.
                                total += background
                            else:
                                y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
                                total += _bilinear(window, c, y, x)
                    out[rows_out[p], c, i, j] = np.uint8(total * share + np.float32(0.5))


@numba.njit(cache=True, inline="always")
def _bilinear(window, channel, row, column):  # type: ignore[no-untyped-def]  # pragma: no cover
    r0, c0 = int(row), int(column)
    r1, c1 = min(r0 + 1, window.shape[0] - 1), min(c0 + 1, window.shape[1] - 1)
    y, x = np.float32(row - r0), np.float32(column - c0)
    north, south = np.float32(window[r0, c0, channel]), np.float32(window[r1, c0, channel])
    north += x * (np.float32(window[r0, c1, channel]) - north)
    south += x * (np.float32(window[r1, c1, channel]) - south)
    return north + y * (south - north)
