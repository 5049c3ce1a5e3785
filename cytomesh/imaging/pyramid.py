"""Image pyramids of sections: windows are read block by block, and blocks used last are kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.last_used import LastUsed
from cytomesh.core.remote import RemotePath, as_path
from cytomesh.imaging.halving import halve, halved_levels
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import ImageLevel, ImageReader, named
from cytomesh.study.image_formats.registry import open_reader, read_header
from cytomesh.study.pixels import PixelSettings, PixelView, pixel_view
from cytomesh.study.sections import Section
from cytomesh.study.stain import Normalisation, looked_up

# Coarser levels are made from so many pixels of the stored one at a time: it may be larger than memory.
BAND_PX = 2**26
# Tiles of fewer pixels than a square of this side are read several at once.
BLOCK_PX = 128
# Blocks that are asked for at once.
N_REQUESTS = 8


class StoredPyramid:
    """Pixels of an image at several resolutions, as stored; use `open_stored`, or `open_image` for 8-bit grey or RGB.

    An image stored at one resolution is halved again and again when coarser levels are asked for, whatever its format:
    the same pixels give the same patches from PNG, TIFF and OME-Zarr. Averages are those of stored values.

    A context manager: leaving it closes the file. For several threads, but not for several processes (open the image in
    each).

    Parameters
    ----------
    reader : ImageReader
        The open file.
    cache_bytes : int
        Blocks that were read last are kept up to this size.
    channels : slice
        Those that are read.
    """

    def __init__(self, reader: ImageReader, cache_bytes: int, channels: slice = slice(None)) -> None:
        header = reader.header
        self.path: Path = header.path
        self.levels: tuple[ImageLevel, ...] = header.levels
        self.um_per_px: float | None = header.um_per_px
        self.n_channels: int = len(range(header.n_channels)[channels])
        self.channel_names: tuple[str, ...] = header.channel_names[channels]
        self.dtype: np.dtype[Any] = np.dtype(header.dtype)
        self._channels = channels
        self._blocks: LastUsed[tuple[int, ...], NDArray[Any]] = LastUsed(cache_bytes, lambda block: block.nbytes)
        self._whole: list[NDArray[Any]] = []
        self._reader: ImageReader | None = reader
        if len(header.levels) == 1:
            self.levels = halved_levels(self.shape)
        if reader.decodes_whole:
            self._whole = [reader.read(0, slice(None), slice(None), channels)]
            for _ in self.levels[1:]:
                self._whole.append(halve(self._whole[-1]))
        self._n_stored = len(header.levels)
        # at addresses, waiting takes longer than decoding
        self._map = ThreadPoolExecutor(N_REQUESTS).map if isinstance(self.path, RemotePath) else map

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of level 0."""
        return self.levels[0].shape

    @property
    def level_scales(self) -> tuple[float, ...]:
        """Pixel size of each level in pixels of level 0 (1, 2, 4, ...)."""
        return tuple(float(np.sqrt(level.scale[0] * level.scale[1])) for level in self.levels)

    @property
    def coarsest_stored(self) -> ImageLevel:
        """The coarsest level that need not be made from another."""
        return self.levels[self._n_stored - 1]

    def block_shape(self, level: int) -> tuple[int, int]:
        """Return rows and columns of the blocks that a level is read in: its tiles, or several if they are small."""
        rows, columns = self._opened().tile(min(level, self._n_stored - 1))
        height, width = self.levels[level].shape
        columns = min(columns * max(1, BLOCK_PX // columns), width)
        return min(rows * max(1, BLOCK_PX**2 // (rows * columns)), height), columns

    def read(
        self,
        level: int,
        row0: int,
        row1: int,
        col0: int,
        col1: int,
        *,
        out: NDArray[Any] | None = None,
        needed: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Read rows row0..row1-1 and columns col0..col1-1 of a level.

        Parameters
        ----------
        level, row0, row1, col0, col1 : int
        out : (row1 - row0, col1 - col0, n_channels) array or None
            Where the pixels are to be written.
        needed : (rows, columns) bool or None
            Which of the blocks that the window reaches into are read; pixels of others are not written.

        Returns
        -------
        (row1 - row0, col1 - col0, n_channels) of `dtype`

        Raises
        ------
        ImageError
            If the window is not within the level, or its pixels cannot be decoded.
        """
        height, width = self.levels[level].shape
        if not (0 <= row0 <= row1 <= height and 0 <= col0 <= col1 <= width):
            found = f"window of rows {row0} to {row1}, columns {col0} to {col1} at level {level}"
            raise ImageError(self.path, found=found, expected=f"a window within {height} rows and {width} columns")
        if self._whole:
            seen = self._seen(self._whole[level][row0:row1, col0:col1])
            if out is None:
                return seen
            out[...] = seen
            return out
        rows, columns = self.block_shape(level)
        top, left = row0 // rows, col0 // columns
        # from the last block on: files that end early, and headers that lie, are found out before memory is asked for
        for i in reversed(range(top, -(-row1 // rows))):
            wanted = range(left, -(-col1 // columns))[::-1]
            places = [(i * rows, j * columns) for j in wanted if needed is None or needed[i - top, j - left]]
            for (row, column), block in zip(places, self._map(partial(self._block, level), places), strict=True):
                if out is None:
                    out = self._empty(row1 - row0, col1 - col0)
                part = block[max(0, row0 - row) : row1 - row, max(0, col0 - column) : col1 - column]
                row, column = max(0, row - row0), max(0, column - col0)
                out[row : row + part.shape[0], column : column + part.shape[1]] = part
        return self._empty(row1 - row0, col1 - col0) if out is None else out

    def close(self) -> None:
        """Close the file and forget what is kept."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._whole, self._blocks = None, [], LastUsed(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_reader", None) is not None:
            self.close()

    def _empty(self, height: int, width: int) -> NDArray[Any]:
        return np.empty((height, width, self.n_channels), self.dtype)

    def _seen(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return (h, w, n_channels) of `dtype` from what is stored."""
        return stored

    def _block(self, level: int, corner: tuple[int, int]) -> NDArray[Any]:
        """Return a block of a level as it is seen; threads that need it at once wait for one that decodes it."""

        def decode() -> NDArray[Any]:
            bounds = zip(corner, self.block_shape(level), self.levels[level].shape, strict=True)
            (row0, row1), (col0, col1) = ((first, min(first + n, end)) for first, n, end in bounds)
            return np.ascontiguousarray(self._seen(self._stored(level, row0, row1, col0, col1)))  # no view of more

        return self._blocks.get((level, *corner), decode)

    def _stored(self, level: int, row0: int, row1: int, col0: int, col1: int) -> NDArray[Any]:
        """Decode a window, or halve that of the level before."""
        if level < self._n_stored:
            return self._opened().read(level, slice(row0, row1), slice(col0, col1), self._channels)
        height, width = self.levels[level - 1].shape
        step = max(1, BAND_PX // ((col1 - col0) * 4**level))
        bands = [(top, min(top + step, row1)) for top in range(row0, row1, step)]
        finer = (self._stored(level - 1, 2 * a, min(2 * b, height), 2 * col0, min(2 * col1, width)) for a, b in bands)
        return np.concatenate([halve(window) for window in finer])

    def _opened(self) -> ImageReader:
        if self._reader is None:
            raise ImageError(self.path, found="a closed image", hint="open it again")
        return self._reader


class Pyramid(StoredPyramid):
    """An image as 8-bit grey or RGB at several resolutions; use `open_image`.

    Parameters
    ----------
    reader, cache_bytes
        See `StoredPyramid`.
    view : PixelView
        How stored pixels are seen.
    normalisation : Normalisation or None
        How these are made to look like those of other sections.
    """

    def __init__(
        self, reader: ImageReader, cache_bytes: int, view: PixelView, normalisation: Normalisation | None = None
    ) -> None:
        super().__init__(reader, cache_bytes, view.channels)
        self._view = view
        self._tables = None if normalisation is None else normalisation.tables()
        self.n_channels, self.channel_names, self.dtype = view.n_channels, (), np.dtype(np.uint8)

    def _seen(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        seen = self._view(stored)
        return seen if self._tables is None else looked_up(seen, self._tables)

    def read_small(self, max_px: int) -> tuple[ImageLevel, NDArray[np.uint8]]:
        """Read the finest level whose longer side is at most so many pixels, or the coarsest there is, as a whole."""
        fitting = (i for i, level in enumerate(self.levels) if max(level.shape) <= max_px)
        index = next(fitting, len(self.levels) - 1)
        level = self.levels[index]
        return level, self.read(index, 0, level.shape[0], 0, level.shape[1])


def open_image(path: str | Path, cache_bytes: int = 1 << 26, settings: PixelSettings | None = None) -> Pyramid:
    """Open an image as 8-bit grey or RGB: OME-Zarr, TIFF, PNG, JPEG, or what extras and other packages add readers for.

    Parameters
    ----------
    path : path or str
        A folder (OME-Zarr), file, or address (`https://`, `s3://`, `gs://`).
    cache_bytes : int
        Blocks that were read last are kept in memory up to this size, 64 MiB unless given; patches that lie beside one
        another share them only there.
    settings : PixelSettings or None
        Channels, window and plane, as in a manifest's `image`.

    Raises
    ------
    ImageError
        If the image is missing, unreadable or of an unknown format, or `settings` do not say how its pixels become
        8-bit grey or RGB.

    Examples
    --------
    >>> from cytomesh import open_study
    >>> section = open_study("study/study.yaml").brains[0].sections[0]
    >>> with open_image(section.image) as image:
    ...     window = image.read(0, 0, 64, 0, 32)  # level, rows, columns
    >>> window.shape, window.dtype
    ((64, 32, 1), dtype('uint8'))
    """
    settings = settings or PixelSettings()
    with _opened(as_path(path), settings.part()) as reader:
        return Pyramid(reader, cache_bytes, pixel_view(reader, settings))


def open_section(section: Section, cache_bytes: int = 1 << 26) -> Pyramid:
    """Open the image of a section as its study says: channels, window, and normalisation.

    Raises
    ------
    ImageError
        As of `open_image`; also if there is no image, or it is to be normalised and its study has not been measured.

    Examples
    --------
    >>> from cytomesh import open_study
    >>> section = open_study("study/study.yaml").brains[0].sections[0]
    >>> with open_section(section) as image:
    ...     print(image.shape, image.n_channels)
    (188, 134) 1
    """
    wanted = section.image_settings.normalise
    if wanted != "none" and section.normalisation is None:
        hint = "study = cytomesh.normalised(study), or cytomesh.open_run_study(run)"
        expected = "a study whose sections have been measured"
        raise ImageError(
            section.name, found=f"image.normalise: {wanted}, and no statistics", expected=expected, hint=hint
        )
    return _seen(section, cache_bytes, section.normalisation)


def open_unnormalised(section: Section, cache_bytes: int = 1 << 26) -> Pyramid:
    """Open the image of a section in its channels and window alone; errors are those of `open_image`.

    For what the normalisation is measured on, and what looks at one section for itself.
    """
    return _seen(section, cache_bytes, None)


def _seen(section: Section, cache_bytes: int, normalisation: Normalisation | None) -> Pyramid:
    if section.image is None:
        raise ImageError(section.name, found="no image", expected="a section with an image")
    with _opened(section.image, section.image_part) as reader:
        return Pyramid(reader, cache_bytes, pixel_view(reader, section.image_settings), normalisation)


def open_stored(path: str | Path, cache_bytes: int = 1 << 26, part: ImagePart = THE_ONLY) -> StoredPyramid:
    """Open an image, or one of several in a file, as it is stored, with all channels; errors are as of `open_image`.

    Parameters
    ----------
    path, cache_bytes
        As of `open_image`.
    part : ImagePart
        Which image of a file of several.
    """
    with _opened(as_path(path), part) as reader:
        return StoredPyramid(reader, cache_bytes)


@contextmanager
def _opened(path: Path, part: ImagePart) -> Iterator[ImageReader]:
    """Open an image, and close it only if something goes wrong."""
    header = read_header(path, part)
    with named(path, "an image that cannot be read"):
        reader = open_reader(header)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
