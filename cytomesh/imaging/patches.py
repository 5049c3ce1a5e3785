"""Oriented patches: squares around image links, rotated so that the pial side is up, at a given um/px."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.imaging.pyramid import Pyramid

# Patches are read cell by cell (level pixels), so that neighbours find their blocks among those used last.
CELL_PX = 2048
# Samples that are taken one after the other: what is needed for them stays in the first cache of a processor.
RUN_PX = 256
# A level up to this much coarser than the target still counts as fine enough (rounding of declared pixel sizes).
SLACK = 1.02
# What is read around a patch: a pixel beside the outermost samples, and rounding.
MARGIN_PX = 1.25
WORD = np.dtype("<u4")


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

    Examples
    --------
    >>> from cytomesh import load_graphs, open_section, open_study
    >>> graph = load_graphs("run")[0]
    >>> node = int(graph.is_linked.argmax())  # the first that has an image link
    >>> sections = {section.index: section for section in open_study("study/study.yaml").brains[0].sections}
    >>> section = sections[int(graph.section[node])]
    >>> place, angle = graph.nodes.stack(["column_px", "row_px"])[[node]], graph.nodes["angle_deg"][[node]]
    >>> with open_section(section) as image:
    ...     patches = read_patches(image, section.um_per_px, place, angle, size_px=32, um_per_px=250.0)
    >>> patches.shape
    (1, 1, 32, 32)
    """
    pixels, angles = np.asarray(pixels, np.float64), np.deg2rad(np.asarray(angles_deg, np.float64))
    n = len(pixels)
    if pixels.shape != (n, 2) or angles.shape != (n,) or not (np.isfinite(pixels).all() and np.isfinite(angles).all()):
        found = f"positions {pixels.shape}, angles {angles.shape}"
        raise ImageError(pyramid.path, found=found, expected="finite (n, 2) columns and rows, (n,) angles")
    if size_px < 1 or not (um_per_px > 0 and um_per_px_of_level0 > 0):
        found = f"size_px {size_px}, um_per_px {um_per_px}, um_per_px_of_level0 {um_per_px_of_level0}"
        raise ImageError(pyramid.path, found=found, expected="positive sizes")
    out = np.empty((n, pyramid.n_channels, size_px, size_px), np.uint8)
    step = um_per_px / um_per_px_of_level0
    index = choose_level(pyramid.level_scales, step)
    level = pyramid.levels[index]
    # Position and step in the level's own (row, column) pixels.
    centres = (pixels[:, ::-1] - level.offset) / level.scale
    step_level = step / pyramid.level_scales[index]
    n_samples = max(1, math.ceil(step_level / SLACK))
    memory = np.empty(0, np.uint8)  # one for all windows: the first touch of fresh memory takes as long as a copy
    for p in by_cells(centres):
        square = Square(
            centres[p, 0], centres[p, 1], math.sin(angles[p]) * step_level, math.cos(angles[p]) * step_level, size_px
        )
        low, high = square.window(level.shape)
        height, width = high[0] - low[0], high[1] - low[1]
        if min(height, width) <= 0:
            out[p] = background
            continue
        # below and beside the last pixels lie bytes that weights of 0 look at
        n_bytes = height * width * pyramid.n_channels
        n_words = n_bytes + (width + 1) * pyramid.n_channels
        if len(memory) < n_words + WORD.itemsize:
            memory = np.empty(n_words + WORD.itemsize, np.uint8)
        window = memory[:n_bytes].reshape(height, width, pyramid.n_channels)
        needed = square.touches(low, high, pyramid.block_shape(index))
        pyramid.read(index, low[0], high[0], low[1], high[1], out=window, needed=needed)
        words = np.ndarray(n_words, WORD, memory, strides=(1,))
        row, column = square.row - low[0], square.column - low[1]
        _sample(words, height, width, row, column, square.sine, square.cosine, n_samples, background, out[p])
    return out


@dataclass(frozen=True, slots=True)
class Square:
    """A patch in the pixels of a level: its centre, and the step of its pixels to the right, (cosine, sine).

    The pial side lies towards (-sine, cosine) in (row, column).
    """

    row: float
    column: float
    sine: float
    cosine: float
    size_px: int

    def window(self, shape: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the first (row, column) of a level that the patch reaches, and those behind the last ones."""
        reach = 0.5 * self.size_px * (abs(self.sine) + abs(self.cosine)) + MARGIN_PX
        centre = self.row, self.column
        low = [max(0, math.floor(at - reach)) for at in centre]
        high = [min(n, math.ceil(at + reach) + 1) for at, n in zip(centre, shape, strict=True)]
        return (low[0], low[1]), (high[0], high[1])

    def touches(self, low: tuple[int, int], high: tuple[int, int], block: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which of the blocks that a window reaches into the patch reaches: (block rows, block columns).

        Rectangles are apart if one of their sides separates them; sides of blocks are dealt with by the window.
        """
        rows, columns = (
            np.arange(a // size, (b - 1) // size + 1) * size + 0.5 * size - at
            for a, b, size, at in zip(low, high, block, (self.row, self.column), strict=True)
        )
        sine, cosine = self.sine, self.cosine
        step = math.hypot(sine, cosine)
        reach = 0.5 * (self.size_px * step * step + block[0] * abs(cosine) + block[1] * abs(sine)) + MARGIN_PX * step
        other = 0.5 * (self.size_px * step * step + block[0] * abs(sine) + block[1] * abs(cosine)) + MARGIN_PX * step
        rows = rows[:, None]
        across, along = np.abs(rows * cosine + columns * sine), np.abs(rows * sine - columns * cosine)
        return (across <= reach) & (along <= other)


def choose_level(level_scales: tuple[float, ...], step: float) -> int:
    """Return the coarsest level whose pixels are not larger than the target's (`step`, in pixels of level 0)."""
    fine_enough = [i for i, scale in enumerate(level_scales) if scale <= step * SLACK]
    return max(fine_enough, key=lambda i: level_scales[i], default=0)


def by_cells(centres: NDArray[np.float64]) -> list[int]:
    """Return the numbers of patches, those in one cell of the image after one another."""
    cells = np.floor(centres / CELL_PX)
    return [int(p) for p in np.lexsort((cells[:, 1], cells[:, 0]))]


@numba.njit(cache=True, nogil=True)
def _sample(words, height, width, row, column, sine, cosine, n_samples, background, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sample a patch, run by run of its rows, as loops that compilers make vectors of.

    Parameters
    ----------
    words : (n,) uint32
        The window's bytes from each byte on, little-endian: the values of a pixel and of the next one.
    height, width : int
        Of the window.
    row, column, sine, cosine : float
        As of `Square`, in the window.
    n_samples : int
        A side of a target pixel.
    background : int
    out : (n_channels, size, size) uint8
    """
    n_channels, size = out.shape[:2]
    middle, share = 0.5 * (size - 1), 1.0 / (n_samples * n_samples)
    # Where the samples of one target pixel lie, in target pixels from its centre.
    spread = (np.arange(n_samples) + 0.5) / n_samples - 0.5
    reach = 0.5 * size * (abs(sine) + abs(cosine)) + 1.0
    # The image's border concerns few patches: the others do without comparisons.
    is_inside = min(row, column) >= reach and row + reach < height and column + reach < width
    to_next, byte, below = np.uint32(8 * n_channels), np.uint32(255), np.uint64(n_channels * width)
    rows, columns = np.empty((n_samples, RUN_PX)), np.empty((n_samples, RUN_PX))
    place, is_out = np.empty(RUN_PX, np.int64), np.empty(RUN_PX, np.bool_)
    down_share, right_share = np.empty(RUN_PX, np.float32), np.empty(RUN_PX, np.float32)
    north, south = np.empty(RUN_PX, np.uint32), np.empty(RUN_PX, np.uint32)
    value, total = np.empty(RUN_PX, np.float32), np.zeros((n_channels, RUN_PX))
    for start in range(0, size, RUN_PX):
        n = min(RUN_PX, size - start)
        for b in range(n_samples):
            for j in range(n):
                right = start + j - middle + spread[b]
                rows[b, j], columns[b, j] = row + right * cosine, column + right * sine
        for i in range(size):
            for a in range(n_samples):
                down = i - middle + spread[a]
                row_down, column_down = down * sine, down * cosine
                for b in range(n_samples):
                    run_rows, run_columns = rows[b], columns[b]
                    for j in range(n):
                        y, x = run_rows[j] + row_down, run_columns[j] - column_down
                        if not is_inside:
                            # Half a pixel beyond the outermost centres is still image.
                            is_out[j] = y < -0.5 or x < -0.5 or y > height - 0.5 or x > width - 0.5
                            y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
                        r, c = np.int32(y), np.int32(x)
                        down_share[j], right_share[j] = np.float32(y - r), np.float32(x - c)
                        place[j] = (np.int64(r) * width + c) * n_channels
                    for channel in range(n_channels):
                        for j in range(n):
                            at = np.uint64(place[j]) + np.uint64(channel)
                            north[j], south[j] = words[at], words[at + below]
                        for j in range(n):
                            left = np.float32(np.int32(north[j] & byte))
                            right = np.float32(np.int32((north[j] >> to_next) & byte))
                            above = left + right_share[j] * (right - left)
                            left = np.float32(np.int32(south[j] & byte))
                            right = np.float32(np.int32((south[j] >> to_next) & byte))
                            value[j] = above + down_share[j] * (left + right_share[j] * (right - left) - above)
                        if not is_inside:
                            for j in range(n):
                                value[j] = background if is_out[j] else value[j]
                        sums = total[channel]
                        for j in range(n):
                            sums[j] += value[j]
            for channel in range(n_channels):
                line, sums = out[channel, i, start : start + n], total[channel]
                for j in range(n):
                    line[j] = np.uint8(np.int32(sums[j] * share + 0.5))
                    sums[j] = 0.0
