"""BigTIFF pyramids of any size that take megabytes: tiles of a texture that repeats lie at the same bytes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.common import Options
from cytomesh.imaging.halving import halve, halved_levels

TILE_PX, PERIOD_PX = 512, 2048
SHORT, LONG, RATIONAL, LONG8 = 3, 4, 5, 16
FORMATS = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}


def texture(options: Options) -> tuple[NDArray[np.uint8], str]:
    """Return (2048, 2048) grey pixels that are to be repeated, and what they are: real tissue where it is to be had."""
    try:
        path = next((options.bigbrain() / "sections").glob("*coronal_A.png"))
    except (RuntimeError, StopIteration):
        random = np.random.default_rng(0)
        tissue = gaussian_filter(random.normal(size=(PERIOD_PX, PERIOD_PX)), 4, mode="wrap")
        light = 150 + 400 * tissue + 6 * random.normal(size=tissue.shape)
        return np.rint(light.clip(0, 255)).astype(np.uint8), "smoothed noise"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    top, left = (pixels.shape[0] - PERIOD_PX) // 2, (pixels.shape[1] - PERIOD_PX) // 2
    return pixels[top : top + PERIOD_PX, left : left + PERIOD_PX], "a section of BigBrain"


def write_repeated(path: Path, period: NDArray[np.uint8], shape: tuple[int, int]) -> None:
    """Write a tiled, deflated BigTIFF of (rows, columns) pixels of 1 um, with its halved levels as SubIFDs.

    Parameters
    ----------
    period : (2048, 2048) uint8
        What is repeated; a coarser level repeats its means.
    """
    levels = halved_levels(shape)
    with path.open("wb") as stream:
        stream.write(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0))
        tiles = []
        for level in levels:
            tiles.append(_write_tiles(stream, np.tile(period, 2 * (max(1, TILE_PX // len(period)),)), level.shape))
            period = halve(period[..., None])[..., 0]
        coarser = [
            _write_directory(stream, level.shape, *stored, is_coarse=True, coarser=[])
            for level, stored in zip(levels[1:], tiles[1:], strict=True)
        ]
        first = _write_directory(stream, shape, *tiles[0], is_coarse=False, coarser=coarser)
        stream.seek(8)
        stream.write(struct.pack("<Q", first))


def write_tiles(path: Path, period: NDArray[np.uint8], side: int, **facts: Any) -> None:
    """Write a tiled BigTIFF of side x side pixels with its halved levels as SubIFDs, each of its tiles anew.

    Parameters
    ----------
    period : (2048, 2048) or (2048, 2048, 3) uint8
        What is repeated; a coarser level repeats its means.
    side : int
        A multiple of the tiles' side.
    facts
        Of `tifffile.TiffWriter.write`, such as the compression.
    """
    levels = halved_levels((side, side))
    planes = np.atleast_3d(period)
    facts |= {"tile": (TILE_PX, TILE_PX), "dtype": np.uint8, "metadata": None}
    facts["photometric"] = "minisblack" if period.ndim == 2 else "rgb"
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for i, level in enumerate(levels):
            copies = max(1, TILE_PX // len(planes))
            block = np.tile(planes, (copies, copies, 1)).squeeze()
            n, count = len(block) // TILE_PX, -(-level.shape[0] // TILE_PX)
            corners = ((row % n * TILE_PX, column % n * TILE_PX) for row in range(count) for column in range(count))
            tiles = (np.ascontiguousarray(block[y : y + TILE_PX, x : x + TILE_PX]) for y, x in corners)
            place = {"subfiletype": 1} if i else {"subifds": len(levels) - 1}
            tiff.write(tiles, shape=(*level.shape, *period.shape[2:]), **facts, **place)
            planes = halve(planes)


def _write_tiles(
    stream: BinaryIO, period: NDArray[np.uint8], shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write each different tile once; return offset and size of all, row by row."""
    n = len(period) // TILE_PX
    places = np.empty((n, n, 2), np.int64)
    for row in range(n):
        for column in range(n):
            tile = period[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
            data = zlib.compress(np.ascontiguousarray(tile))
            places[row, column] = stream.tell(), len(data)
            stream.write(data)
    rows, columns = (np.arange(-(-side // TILE_PX)) % n for side in shape)
    every = places[np.ix_(rows, columns)].reshape(-1, 2)
    return every[:, 0], every[:, 1]


def _write_directory(
    stream: BinaryIO,
    shape: tuple[int, int],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    *,
    is_coarse: bool,
    coarser: list[int],
) -> int:
    """Write an image file directory (TIFF 6.0, BigTIFF) and return its place."""
    values: dict[int, tuple[int, list[int]]] = {
        254: (LONG, [int(is_coarse)]),
        256: (LONG, [shape[1]]),
        257: (LONG, [shape[0]]),
        258: (SHORT, [8]),
        259: (SHORT, [8]),  # Adobe's deflate
        262: (SHORT, [1]),  # black is zero
        277: (SHORT, [1]),
        282: (RATIONAL, [10_000, 1]),  # pixels a centimetre
        283: (RATIONAL, [10_000, 1]),
        296: (SHORT, [3]),
        322: (LONG, [TILE_PX]),
        323: (LONG, [TILE_PX]),
        324: (LONG8, offsets.tolist()),
        325: (LONG8, sizes.tolist()),
        **({330: (LONG8, coarser)} if coarser else {}),
    }
    entries = b""
    for tag, (kind, numbers) in values.items():
        data = struct.pack(f"<{len(numbers)}{FORMATS[kind]}", *numbers)
        if len(data) > 8:
            place = stream.tell()
            stream.write(data)
            data = struct.pack("<Q", place)
        entries += struct.pack("<HHQ", tag, kind, len(numbers) // (2 if kind == RATIONAL else 1)) + data.ljust(8, b"\0")
    place = stream.tell()
    stream.write(struct.pack("<Q", len(values)) + entries + struct.pack("<Q", 0))
    return place
