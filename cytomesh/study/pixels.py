"""Pixels as a file stores them: windows of its levels, and whether all that the header promises is there."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.study.headers import ImageHeader, open_plain
from cytomesh.study.tiff_tags import refuse_cut_off

HINT = "copy or export the image again"
BAND_ROWS = 512
N_NAMED = 3
# Fewer are looked for one by one, without counting files first.
FEW_CHUNKS = 10_000


def read_plain(header: ImageHeader) -> NDArray[np.uint8]:
    """Decode a PNG or JPEG, (h, w, n_channels); transparent pixels show the background, which is white.

    The background of a patch beyond its image is the same (`imaging.patches.read_patches`).
    """
    mode = "L" if header.n_channels == 1 else "RGB"
    check_sums(header.path)
    with open_plain(header.path) as image:
        if image.has_transparency_data:
            with_alpha = image.convert("RGBA")
            white = Image.new(mode, image.size, "white")
            image = Image.composite(with_alpha.convert(mode), white, with_alpha.getchannel("A"))
        array = np.array(image.convert(mode))
    return array.reshape(*array.shape[:2], header.n_channels)


def check_sums(path: Path) -> None:
    """Compare the checksums of a PNG, which decoders leave alone: damaged pixels would be taken. A JPEG has none."""
    with open_plain(path) as image:
        if image.format == "PNG":
            image.verify()


class StoredLevels:
    """Levels of a TIFF or OME-Zarr, read in windows.

    Parameters
    ----------
    header : ImageHeader
        Of kind "tiff" or "zarr".
    """

    def __init__(self, header: ImageHeader) -> None:
        self.header = header
        self._store: Any = None
        if header.kind == "zarr":
            self._arrays: list[Any] = [
                zarr.open_array(str(header.path / level.name), mode="r") for level in header.levels
            ]
            return
        self._store = tifffile.imread(header.path, aszarr=True)
        group = zarr.open(self._store, mode="r")
        self._arrays = [group[level.name] for level in header.levels] if isinstance(group, zarr.Group) else [group]

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Decode a window of a level, (rows, columns, n_channels).

        Raises
        ------
        ImageError
            If a chunk is not there, or cannot be decoded.
        """
        axes, array = self.header.axes, self._arrays[level]
        window = tuple({"y": rows, "x": columns}.get(axis, slice(None)) for axis in axes)
        if self.header.kind == "zarr":
            self._refuse_missing(level, window)
        try:
            values = np.asarray(array[window])
        except Exception as cause:  # codecs raise what they like on damaged chunks
            found = f"pixels that cannot be decoded at level {level} ({type(cause).__name__}: {cause})"
            raise ImageError(self.header.path, found=found, hint=HINT) from cause
        order = [axes.index("y"), axes.index("x")]
        others = [i for i in range(values.ndim) if i not in order]
        height, width = (values.shape[i] for i in order)
        return np.ascontiguousarray(values.transpose(*order, *others).reshape(height, width, self.header.n_channels))

    def check(self) -> None:
        """Look for every chunk of an OME-Zarr, and decode the last pixel of each level: files are cut off at their end.

        Raises
        ------
        ImageError
            If a chunk is not there, or cannot be decoded.
        """
        for i, level in enumerate(self.header.levels):
            if self.header.kind == "zarr":
                self._refuse_missing(i, (slice(None),) * len(self.header.axes))
            height, width = level.shape
            self.read(i, slice(height - 1, height), slice(width - 1, width))

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _refuse_missing(self, level: int, window: tuple[slice, ...]) -> None:
        """Raise ImageError if chunks of a window are not stored: Zarr reads them as its fill value, mostly black."""
        folder, array = self.header.path / self.header.levels[level].name, self._arrays[level]
        lacking, some, n = missing_chunks(folder, array, window)
        if lacking:
            names = ", ".join(some) + (", ..." if lacking > len(some) else "")
            found = f"{lacking:,} of {n:,} chunks not stored at level {level} ({names})"
            hint = (
                f"copy the image again; if these chunks are meant to be {array.fill_value} throughout, store them, too "
                "(zarr: write_empty_chunks=True)"
            )
            raise ImageError(self.header.path, found=found, expected="all chunks", hint=hint)


def missing_chunks(folder: Path, array: Any, window: tuple[slice, ...]) -> tuple[int, list[str], int]:
    """Return how many chunks (shards) of a window of a Zarr array have no file, the first of them, and all there are.

    A damaged header may declare any number. Where there are fewer files than chunks, the number is a difference (at
    least), and only as many chunks are looked for as it takes to name a few.
    """
    spans = []
    for part, n, size in zip(window, array.shape, array.shards or array.chunks, strict=True):
        start, stop, _ = part.indices(n)
        spans.append(range(start // size, -(-stop // size) if stop > start else start // size))
    n_chunks = math.prod(map(len, spans))
    lacking = (
        key
        for place in _product(spans)
        for key in [array.metadata.encode_chunk_key(place)]
        if not (folder / key).is_file()
    )
    least = n_chunks - _count_files(folder, n_chunks) if n_chunks > FEW_CHUNKS else 0
    named = list(itertools.islice(lacking, N_NAMED))
    return (least if least > 0 else len(named) + sum(1 for _ in lacking)), named, n_chunks


def _product(spans: Sequence[range]) -> Iterator[tuple[int, ...]]:
    """Yield all places; `itertools.product` would list each span first."""
    if not spans:
        yield ()
        return
    for first in spans[0]:
        for rest in _product(spans[1:]):
            yield first, *rest


def _count_files(folder: Path, enough: int) -> int:
    """Return how many files are in a folder and below, counted no further than `enough`."""
    n = 0
    for _, _, names in os.walk(folder):
        n += len(names)
        if n >= enough:
            break
    return n


def check_pixels(header: ImageHeader) -> None:
    """Check that an image is whole, without decoding all of it where its format allows that.

    A PNG's checksums are compared, a JPEG is decoded at an eighth of its size; of a TIFF every tile must lie within
    the file; of every stored level the last tile is decoded.

    Raises
    ------
    ImageError
        If something is missing or cannot be decoded.
    """
    try:
        if header.kind == "plain":
            _check_plain(header.path)
            return
        if header.kind == "tiff":
            _check_tiff(header.path)
        levels = StoredLevels(header)
        try:
            levels.check()
        finally:
            levels.close()
    except ImageError:
        raise
    except Exception as cause:  # codecs raise what they like on damaged input
        found = f"an image that is damaged or cut off ({type(cause).__name__}: {cause})"
        raise ImageError(header.path, found=found, hint=HINT) from cause


def decode_all(header: ImageHeader) -> None:
    """Decode every stored pixel of an image, a band of rows at a time.

    Raises
    ------
    ImageError
        If something is missing or cannot be decoded.
    """
    check_pixels(header)
    try:
        if header.kind == "plain":
            read_plain(header)
        elif header.kind == "tiff":
            # not through Zarr, which goes on reading other tiles after one has failed and its file is closed
            with tifffile.TiffFile(header.path) as tiff:
                for page in (page for level in tiff.series[0].levels for page in level.pages):
                    for _ in page.segments(maxworkers=1):
                        pass
        else:
            levels = StoredLevels(header)
            for index, level in enumerate(header.levels):
                for top in range(0, level.shape[0], BAND_ROWS):
                    levels.read(index, slice(top, min(top + BAND_ROWS, level.shape[0])), slice(0, level.shape[1]))
    except ImageError:
        raise
    except Exception as cause:  # codecs raise what they like on damaged input
        found = f"pixels that cannot be decoded ({type(cause).__name__}: {cause})"
        raise ImageError(header.path, found=found, hint=HINT) from cause


def _check_plain(path: Path) -> None:
    check_sums(path)
    with open_plain(path) as image:
        if image.format == "JPEG":
            image.draft(image.mode, (1, 1))
            image.load()


def _check_tiff(path: Path) -> None:
    """Raise ImageError if a tile or tag of any page, or a page itself, lies beyond the end of the file."""
    with tifffile.TiffFile(path) as tiff:
        refuse_cut_off(path, tiff, [page for level in tiff.series[0].levels for page in level.pages])
