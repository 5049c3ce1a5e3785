"""Segmentation of whole sections: overlapping tiles along the ribbon, pial side up, blended into one map."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cytomesh.analyze.layers.classes import N_CLASSES
from cytomesh.analyze.layers.ribbon import Columns, Grid, SectionRibbon
from cytomesh.core.parallel import map_ahead
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import Pyramid
from cytomesh.pretrain.config import PatchConfig

Segment = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]
"""Patches (n, c, s, s) uint8 and their depths (n, o, o) to probabilities (n, 8, o, o)."""


def patch_points(
    pixels: NDArray[np.float64], angles_deg: NDArray[np.float64], size_px: int, step: float
) -> NDArray[np.float64]:
    """Return the pixels of patches in their image, (n, size_px, size_px, 2) (column, row), as `read_patches` has them.

    Parameters
    ----------
    pixels : (n, 2) float64
        Centres, in the section's image.
    angles_deg : (n,) float64
        Direction of the pial side.
    step : float
        A patch's pixel in those of the image.
    """
    angles = np.radians(angles_deg)[:, None, None]
    down, right = (np.mgrid[:size_px, :size_px] - 0.5 * (size_px - 1)) * step
    columns = pixels[:, 0, None, None] + right * np.sin(angles) - down * np.cos(angles)
    rows = pixels[:, 1, None, None] + right * np.cos(angles) + down * np.sin(angles)
    return np.stack([columns, rows], axis=-1)


def read_depths(
    field: NDArray[np.float32],
    grid: Grid,
    pixels: NDArray[np.float64],
    angles_deg: NDArray[np.float64],
    size_px: int,
    step: float,
) -> NDArray[np.float32]:
    """Return the depth field of a grid in patches, (n, size_px, size_px); see `patch_points`."""
    at = grid.pixels(patch_points(pixels, angles_deg, size_px, step))
    found = map_coordinates(field, np.moveaxis(at[..., ::-1], -1, 0), order=1, mode="nearest")
    return np.asarray(found, np.float32)


def tile_centres(columns: Columns, spacing_px: float) -> NDArray[np.int64]:
    """Return the columns on whose middles tiles are centred: along each line, at most so many pixels apart."""
    feet, chosen = columns.feet, []
    for line in np.unique(columns.line):
        rows = np.flatnonzero(columns.line == line)
        steps = np.linalg.norm(np.diff(feet[rows], axis=0), axis=1)
        travelled = np.concatenate([[0.0], np.cumsum(steps)])
        n = 1 + math.ceil(travelled[-1] / spacing_px)
        chosen.append(rows[np.searchsorted(travelled, np.linspace(0, travelled[-1], n)).clip(max=len(rows) - 1)])
    return np.unique(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def segment_ribbon(
    segment: Segment,
    image: Pyramid,
    image_um: float,
    ribbon: SectionRibbon,
    patches: PatchConfig,
    size_px: int,
    overlap: float,
    batch_size: int,
) -> NDArray[np.float32]:
    """Return the probability of each class along the ribbon, (8, h, w) on the grid; 0 where no tile has been.

    Parameters
    ----------
    segment : callable
        See `Segment`.
    image : Pyramid
    image_um : float
        Pixel size of its level 0.
    ribbon : SectionRibbon
        Tiles stand on the middles of its columns, turned as they are.
    patches : PatchConfig
        Size and resolution of what a tile shows.
    size_px : int
        Its side in pixels of the segmentation.
    overlap : float
        Share of a tile's side that the next one covers again.
    batch_size : int
        Most tiles segmented together.
    """
    grid, columns = ribbon.grid, ribbon.columns
    total = np.zeros((*grid.shape, N_CLASSES), np.float32)
    weight = np.zeros(grid.shape, np.float32)
    side_px = patches.size_px * patches.um_per_px / image_um
    at = tile_centres(columns, side_px * (1 - overlap))
    centres, angles = columns.feet[at], columns.angles_deg[at]

    def read(rows: slice) -> tuple[slice, NDArray[np.uint8], NDArray[np.float32]]:
        pixels = read_patches(image, image_um, centres[rows], angles[rows], patches.size_px, patches.um_per_px)
        return rows, pixels, read_depths(ribbon.field, grid, centres[rows], angles[rows], size_px, side_px / size_px)

    window, step = _window(size_px), side_px / grid.scale / size_px
    batches = [slice(first, first + batch_size) for first in range(0, len(at), batch_size)]
    with closing(map_ahead(read, batches, 1)) as read_ahead:
        for rows, pixels, depths in read_ahead:
            found = np.ascontiguousarray(np.moveaxis(segment(pixels, depths), 1, 3), np.float32)
            add_tiles(found, window, grid.pixels(centres[rows])[:, ::-1], np.radians(angles[rows]), step, total, weight)
    total /= np.maximum(weight, np.float32(1e-6))[..., None]
    return np.moveaxis(total, 2, 0)


def _window(size: int) -> NDArray[np.float32]:
    """Return the weight of a tile's pixels: a Hann window along both axes, since its border sees one side only."""
    hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    return np.outer(hann, hann).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def add_tiles(tiles, window, centres, angles, step, total, weight):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add tiles (n, o, o, 8), sampled bilinearly and weighted by the window, to the pixels of a map that they cover.

    Centres are (row, column) in the map, `step` is a tile's pixel in those of the map; geometry as in `read_patches`.
    """
    height, width, n_classes = total.shape
    size = tiles.shape[1]
    middle = 0.5 * (size - 1)
    for t in range(len(tiles)):
        sine, cosine = math.sin(angles[t]), math.cos(angles[t])
        row, column = centres[t, 0], centres[t, 1]
        reach = 0.5 * size * step * (abs(sine) + abs(cosine))
        for y in range(max(0, math.ceil(row - reach)), min(height, math.floor(row + reach) + 1)):
            for x in range(max(0, math.ceil(column - reach)), min(width, math.floor(column + reach) + 1)):
                down_px, right_px = y - row, x - column
                j = (down_px * cosine + right_px * sine) / step + middle
                i = (down_px * sine - right_px * cosine) / step + middle
                if i < 0 or j < 0 or i > size - 1 or j > size - 1:
                    continue
                i0, j0 = min(int(i), size - 2), min(int(j), size - 2)
                a, b = np.float32(i - i0), np.float32(j - j0)
                own = window[int(i + 0.5), int(j + 0.5)]
                weight[y, x] += own
                for c in range(n_classes):
                    north = (1 - b) * tiles[t, i0, j0, c] + b * tiles[t, i0, j0 + 1, c]
                    south = (1 - b) * tiles[t, i0 + 1, j0, c] + b * tiles[t, i0 + 1, j0 + 1, c]
                    total[y, x, c] += own * ((1 - a) * north + a * south)
