"""A plain way from an image to a table of cells: background, local threshold, watershed; tile by tile.

It is simple on purpose: dark bodies on a brighter ground, told apart where they touch by their shape alone. Crowded or
pale cells want a trained segmenter, whose table is read as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import regionprops_table
from skimage.segmentation import watershed

from cytomesh.analyze.cells.config import SegmentConfig
from cytomesh.analyze.cells.formats.labels import PROPERTIES
from cytomesh.analyze.cells.table import Values, circularity
from cytomesh.core.errors import ConfigError, ImageError
from cytomesh.core.progress import track, warn
from cytomesh.core.tables import Table, write_table
from cytomesh.imaging.pyramid import Pyramid, open_image

MAX_UM_PER_PX = 2.5
"""Coarser images show no single cells."""
HALF = 0.5
"""A blurred edge runs where the contrast has fallen to a half."""
MARGIN = 3
"""Of a tile, in widths of the closing: further than any step of the method looks."""


def segment_image(path: Path, out: Path, settings: SegmentConfig) -> dict[str, Any]:
    """Find the cells of an image and write them as Parquet, one row per cell.

    Columns: `column_px`, `row_px` (centroid, pixel centres at integers), `area_um2`, `circularity`, `eccentricity`.
    The image is read in tiles that overlap; a cell belongs to the tile that its centroid lies in.

    Returns
    -------
    dict
        Number of cells, area of the image (mm2), median diameter (um).

    Raises
    ------
    ConfigError
        If the pixel size is not known.
    ImageError
        If the image cannot be read, or is too coarse to show cells.
    """
    if out.suffix.lower() != ".parquet":
        raise ConfigError("--out", found=str(out), expected="a name that ends with .parquet")
    with open_image(path, settings=settings.image) as image:
        um = settings.um_per_px or image.um_per_px
        if um is None:
            raise ConfigError("um_per_px", str(path), found="an image that states no pixel size", hint="set um_per_px")
        if um > MAX_UM_PER_PX:
            hint = "use the image at its full resolution"
            found = f"pixels of {um:g} um"
            raise ImageError(path, found=found, expected=f"at most {MAX_UM_PER_PX:g}, which show cells", hint=hint)
        tiles = list(_tiles(image.shape, settings.tile_px))
        parts = [_cells_of_tile(image, tile, um, settings) for tile in track(tiles, "tiles", len(tiles), "tiles")]
        shape = image.shape
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    units = {"column_px": "px", "row_px": "px", "area_um2": "um2"}
    write_table(out, Table(columns, units, {"um_per_px": repr(float(um)), "image": path.name}))
    diameters = np.sqrt(4 / np.pi * columns["area_um2"])
    if not len(diameters):
        low, high = settings.diameter_um
        looked_for = (
            f"dark bodies {low:g} to {high:g} um wide, {settings.contrast_grey:g} grey levels below their ground"
        )
        warn(f"cells-segment: {path.name}: no cell was found; looked for {looked_for}")
    return {
        "cells": len(diameters),
        "mm2": shape[0] * shape[1] * (1e-3 * um) ** 2,
        "median_diameter_um": float(np.median(diameters)) if len(diameters) else None,
    }


def segment(grey: Values, um_per_px: float, settings: SegmentConfig) -> NDArray[np.int32]:
    """Return the cells of a grey image, (h, w) int32, 0 where there is none.

    1. Background: what a closing by a square wider than the largest cell leaves of the smoothed image, smoothed again.
    2. A pixel is of a cell if it is darker than the background by `contrast_grey`, and by half of what the darkest
       pixel around it is.
    3. Cells that touch: watershed of the distance from the edge (Vincent and Soille, IEEE TPAMI 13, 1991).
    """
    smallest, largest = (diameter / um_per_px for diameter in settings.diameter_um)
    smooth = ndimage.gaussian_filter(grey, settings.smoothing_um / um_per_px)
    width = _closing_px(um_per_px, settings)
    background = ndimage.gaussian_filter(ndimage.grey_closing(smooth, size=(width, width)), width / 4)
    contrast = background - smooth
    around = ndimage.maximum_filter(contrast, size=2 * int(np.ceil(smallest / 2)) + 1)
    is_cell = (contrast > settings.contrast_grey) & (contrast > HALF * around)
    is_cell = ndimage.binary_fill_holes(is_cell)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(is_cell), 0.1 * smallest)
    peaks = peak_local_max(
        distance, min_distance=max(2, int(0.5 * smallest)), threshold_abs=0.25 * smallest, exclude_border=False
    )
    markers = np.zeros(grey.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-distance, markers, mask=is_cell)
    sizes = np.bincount(found.ravel())
    low, high = np.pi / 4 * smallest**2, np.pi / 4 * largest**2
    found[((sizes < low) | (sizes > high))[found]] = 0
    return np.asarray(found, np.int32)


def _closing_px(um_per_px: float, settings: SegmentConfig) -> int:
    return 2 * int(np.ceil(settings.diameter_um[1] / um_per_px / 2)) + 3


def _tiles(shape: tuple[int, int], side: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield slice(top, min(top + side, shape[0])), slice(left, min(left + side, shape[1]))


def _cells_of_tile(image: Pyramid, tile: tuple[slice, slice], um: float, settings: SegmentConfig) -> dict[str, Values]:
    """Return the columns of the cells whose centroid lies in a tile, found with what surrounds it."""
    rows, columns = tile
    margin = MARGIN * _closing_px(um, settings)
    top, left = max(0, rows.start - margin), max(0, columns.start - margin)
    bottom, right = min(image.shape[0], rows.stop + margin), min(image.shape[1], columns.stop + margin)
    grey = image.read(0, top, bottom, left, right).mean(axis=2, dtype=np.float32)
    found = regionprops_table(segment(grey, um, settings), properties=PROPERTIES)
    row, column = found["centroid-0"] + top, found["centroid-1"] + left
    is_own = (np.floor(row + HALF) >= rows.start) & (np.floor(row + HALF) < rows.stop)
    is_own &= (np.floor(column + HALF) >= columns.start) & (np.floor(column + HALF) < columns.stop)
    area = found["area"].astype(np.float64)
    cells = {
        "column_px": column,
        "row_px": row,
        "area_um2": area * um**2,
        "circularity": circularity(area, found["perimeter_crofton"]),
        "eccentricity": found["eccentricity"],
    }
    return {name: np.asarray(values, np.float64)[is_own] for name, values in cells.items()}
