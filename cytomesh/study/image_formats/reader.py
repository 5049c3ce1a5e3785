"""What a reader of image files is, and what an image says of itself without its pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, ImageError

HINT_FORMATS = "give OME-Zarr (a folder), TIFF, BigTIFF, OME-TIFF, PNG or JPEG, 8-bit grey or RGB"
HINT_AGAIN = "copy or export the image again"
# What is decoded at once - a whole PNG or JPEG, a tile of a TIFF, a chunk of a Zarr - may have so many pixels.
MAX_DECODED_PX = 2**31
BAND_ROWS = 512


@dataclass(frozen=True, slots=True)
class ImageLevel:
    """One resolution of an image.

    Parameters
    ----------
    name : str
        Path of the array within an OME-Zarr image, number of the level otherwise.
    shape : (int, int)
        Rows, columns.
    scale : (float, float)
        Size of one pixel in pixels of level 0: (rows, columns).
    offset : (float, float)
        Centre of this level's pixel (0, 0) in pixels of level 0: (row, column).
    """

    name: str
    shape: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size, channels and levels of an image, finest level first.

    Parameters
    ----------
    path : Path
        The image.
    n_channels : int
        1 (grey) or 3 (RGB), or what the file has.
    levels : tuple of ImageLevel
        At least one.
    um_per_px : float or None
        Side of the pixels of level 0 that the file states, um; they are square.
    axes : str
        Of stored arrays, lower case, such as "yx", "cyx", "yxs".
    """

    path: Path
    n_channels: int
    levels: tuple[ImageLevel, ...]
    um_per_px: float | None = None
    axes: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of level 0."""
        return self.levels[0].shape


class ImageReader(ABC):
    """Reads the images of one format.

    An instance has one image open, for one process; `decode` may be called by several of its threads at once. Whatever
    a method raises that is no `CytomeshError` becomes an `ImageError` that names the file.

    Parameters
    ----------
    header : ImageHeader
        What `read_header` has returned for this image.

    Attributes
    ----------
    suffixes : tuple of str
        Ends of names, lower case, such as `(".czi",)`; of several that fit, the longest decides which reader is taken.
    is_folder : bool
        Whether such an image is a folder.
    decodes_whole : bool
        Whether the file can only be decoded as a whole: then it is decoded once and kept.
    """

    suffixes: ClassVar[tuple[str, ...]]
    is_folder: ClassVar[bool] = False
    decodes_whole: ClassVar[bool] = False

    def __init__(self, header: ImageHeader) -> None:
        self.header = header

    @classmethod
    @abstractmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read what an image says of itself.

        Raises
        ------
        ImageError
            If its values are not what they would be taken for: 8-bit grey levels or RGB of square pixels, stored
            upright.
        """

    @abstractmethod
    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Decode a window of a stored level, (rows, columns, n_channels)."""

    def read(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Decode a window of a stored level, (rows, columns, n_channels).

        Raises
        ------
        ImageError
            If part of it is not there, or cannot be decoded.
        """
        height, width = self.header.levels[level].shape
        wanted = (len(range(height)[rows]), len(range(width)[columns]), self.header.n_channels)
        with named(self.header.path, f"pixels that cannot be decoded at level {level}"):
            pixels = self.decode(level, rows, columns)
            # compiled code that samples patches looks at no bounds
            if not isinstance(pixels, np.ndarray) or pixels.shape != wanted or pixels.dtype != np.uint8:
                what = f"{pixels.dtype} of {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
                hint = f"mend {type(self).__module__}, which reads this format, or the file's header"
                raise ImageError(self.header.path, found=what, expected=f"uint8 of {wanted}", hint=hint)
        return pixels

    def check(self) -> None:
        """Look for damage without decoding everything: the last pixel of each level, as files are cut off at the end.

        Raises
        ------
        ImageError
            If something is missing or cannot be decoded.
        """
        for index, level in enumerate(self.header.levels):
            height, width = level.shape
            self.read(index, slice(height - 1, height), slice(width - 1, width))

    def decode_all(self) -> None:
        """Decode every stored pixel, a band of rows at a time; raises as `check` does."""
        for index, level in enumerate(self.header.levels):
            for top in range(0, level.shape[0], BAND_ROWS):
                self.read(index, slice(top, min(top + BAND_ROWS, level.shape[0])), slice(0, level.shape[1]))

    def close(self) -> None:  # noqa: B027  (many keep no file open)
        """Close the file."""


@contextmanager
def named(path: Path, found: str, hint: str = HINT_AGAIN) -> Iterator[None]:
    """Raise ImageError for whatever else goes wrong: decoders raise what they like on damaged input."""
    try:
        yield
    except CytomeshError:
        raise
    except Exception as cause:
        raise ImageError(path, found=f"{found} ({type(cause).__name__}: {cause})", hint=hint) from cause


def refuse_dtype(path: Path, dtype: object) -> None:
    """Raise ImageError unless pixels are 8-bit: a hidden intensity window would change every feature."""
    if np.dtype(str(dtype)) != np.uint8:
        hint = "convert it to 8 bits with one fixed intensity window for all sections of the brain"
        raise ImageError(path, found=f"pixels of type {dtype}", expected="uint8", hint=hint)


def refuse_size(path: Path, shape: tuple[int, ...], decoded_px: int, hint: str) -> None:
    """Raise ImageError if a header declares no pixels, or more at once than memory is to be asked for."""
    if min(shape) < 1 or not 1 <= decoded_px <= MAX_DECODED_PX:
        found = f"{' x '.join(map(str, shape))}, {decoded_px} px to decode at once"
        raise ImageError(path, found=found, expected=f"1 to {MAX_DECODED_PX} px", hint=hint)


def pyramid_level(name: str, shape: tuple[int, int], full: tuple[int, int]) -> ImageLevel:
    """Return a level whose file states no scale: an area-averaged one, so pixel corners (not centres) coincide."""
    ratios = [n / m for n, m in zip(full, shape, strict=True)]
    # 2857 px halved are 1428 or 1429 px: the factor is 2, not 2857 / 1428.
    factors = [
        float(round(r)) if abs(r - round(r)) * m <= 1.0 * round(r) else r for r, m in zip(ratios, shape, strict=True)
    ]
    return ImageLevel(name, shape, (factors[0], factors[1]), ((factors[0] - 1) / 2, (factors[1] - 1) / 2))


def check_header(path: Path, header: object) -> ImageHeader:
    """Return what a reader has read of an image, if it can be one.

    Raises
    ------
    ImageError
        If it is no header, or its channels or levels contradict each other.
    """
    hint = "mend the package that reads this format, or the file's header"
    if not isinstance(header, ImageHeader) or not header.levels or header.n_channels not in (1, 3):
        expected = "an ImageHeader with one level or more and 1 or 3 channels"
        raise ImageError(path, found=f"a header {header!r}", expected=expected, hint=hint)
    for level in header.levels:
        sizes = [n * scale for n, scale in zip(level.shape, level.scale, strict=True)]
        # coarse levels may lose part of a pixel at the border, or gain one
        misfit = max(abs(size - n) / scale for size, n, scale in zip(sizes, header.shape, level.scale, strict=True))
        if min(level.shape) < 1 or misfit > 1.0 + 0.01 * max(level.shape):
            found = f"level {level.name} of {level.shape} px, each as large as {level.scale} of the first level's"
            raise ImageError(path, found=found, expected=f"the {header.shape} px of the first level", hint=hint)
    return header
