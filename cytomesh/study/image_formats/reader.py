"""What a reader of image files is, and what an image says of itself without its pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.reading import why_not
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart

HINT_FORMATS = "give OME-Zarr (a folder), TIFF, BigTIFF, OME-TIFF, PNG, JPEG, NIfTI, CZI or what OpenSlide reads"
HINT_AGAIN = "copy or export the image again"
# What is decoded at once - a whole PNG or JPEG, a tile of a TIFF, a chunk of a Zarr - may have so many pixels.
MAX_DECODED_PX = 2**31
BAND_ROWS = 512
DTYPES = ("uint8", "uint16", "float32")

Alpha = Literal["straight", "premultiplied"]


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
        What is stored, transparency not counted; how they become grey or RGB says `cytomesh.study.pixels`.
    levels : tuple of ImageLevel
        At least one.
    um_per_px : float or None
        Side of the pixels of level 0 that the file states, um; they are square.
    axes : str
        Of stored arrays, lower case, such as "yx", "cyx", "yxs".
    dtype : {"uint8", "uint16", "float32"}
        Of the pixels.
    channel_names : tuple of str
        Names that the file gives its channels, one each; empty if it gives none.
    alpha : {"straight", "premultiplied"} or None
        A further stored channel that says how opaque pixels are; readers show white behind them.
    part : ImagePart
        Which of several images in the file.
    """

    path: Path
    n_channels: int
    levels: tuple[ImageLevel, ...]
    um_per_px: float | None = None
    axes: str = ""
    dtype: str = "uint8"
    channel_names: tuple[str, ...] = ()
    alpha: Alpha | None = None
    part: ImagePart = THE_ONLY

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
    reads_addresses : bool
        Whether paths may be `cytomesh.core.remote.RemotePath`s, which have `open` and `stat` but are not on a disk.
    """

    suffixes: ClassVar[tuple[str, ...]]
    is_folder: ClassVar[bool] = False
    decodes_whole: ClassVar[bool] = False
    reads_addresses: ClassVar[bool] = False

    def __init__(self, header: ImageHeader) -> None:
        self.header = header

    @classmethod
    @abstractmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read what an image says of itself.

        Raises
        ------
        ImageError
            If its values are not what they would be taken for: intensities (no palettes, no CMYK) of one of `DTYPES`,
            in square pixels, stored upright.
        """

    @classmethod
    def read_part(cls, path: Path, part: ImagePart) -> ImageHeader:
        """Read what one of several images in a file says of itself; raises as `read_header` does, or if it lacks."""
        part.refuse_scene(path)
        return cls.read_header(path)

    @abstractmethod
    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Decode a window of a stored level, (rows, columns, n_channels) of the header's dtype."""

    def tile(self, level: int) -> tuple[int, int]:  # noqa: ARG002
        """Return rows and columns of a level that are decoded at once, from its corner on; 512 each unless known."""
        return BAND_ROWS, BAND_ROWS

    def decode_channels(self, level: int, rows: slice, columns: slice, channels: slice) -> NDArray[Any]:
        """Decode some channels of a window; formats that store channels apart leave the others alone."""
        pixels = self.decode(level, rows, columns)
        self._refuse_other(pixels, level, rows, columns, self.header.n_channels)
        return pixels[..., channels]

    def read(self, level: int, rows: slice, columns: slice, channels: slice = slice(None)) -> NDArray[Any]:
        """Decode a window of a stored level, (rows, columns, channels) of the header's dtype.

        Raises
        ------
        ImageError
            If part of it is not there, or cannot be decoded, or is no number.
        """
        with named(self.header.path, f"pixels that cannot be decoded at level {level}"):
            pixels = self.decode_channels(level, rows, columns, channels)
            self._refuse_other(pixels, level, rows, columns, len(range(self.header.n_channels)[channels]))
            if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
                place = np.argwhere(~np.isfinite(pixels))[0]
                (height, width), (row, column, _) = self.header.levels[level].shape, place
                at = f"row {range(height)[rows][row]}, column {range(width)[columns][column]}"
                found, hint = f"{pixels[tuple(place)]} in {at}", "write a number there, such as that of the background"
                raise ImageError(self.header.path, f"level {level}", found=found, expected="finite values", hint=hint)
        return pixels

    def _refuse_other(self, pixels: object, level: int, rows: slice, columns: slice, n_channels: int) -> None:
        """Raise ImageError unless pixels are those asked for: compiled code that samples patches looks at no bounds."""
        height, width = self.header.levels[level].shape
        wanted, dtype = (len(range(height)[rows]), len(range(width)[columns]), n_channels), self.header.dtype
        if not isinstance(pixels, np.ndarray) or pixels.shape != wanted or pixels.dtype != dtype:
            what = f"{pixels.dtype} of {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            hint = f"mend {type(self).__module__}, which reads this format, or the file's header"
            raise ImageError(self.header.path, found=what, expected=f"{dtype} of {wanted}", hint=hint)

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
        raise ImageError(path, found=f"{found} ({why_not(cause, path)})", hint=hint) from cause


def known_dtype(path: Path, dtype: object) -> str:
    """Return the name of a pixel type that is read, in the machine's byte order.

    Raises
    ------
    ImageError
        If it is another than `DTYPES`.
    """
    name = np.dtype(str(dtype)).name
    if name not in DTYPES:
        hint = "save it as unsigned 8 or 16 bits, or as 32-bit floating point numbers"
        raise ImageError(path, found=f"pixels of type {dtype}", expected=", ".join(DTYPES), hint=hint)
    return name


def on_background(stored: NDArray[Any], alpha: Alpha, background: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Return (h, w, c) of whole numbers from (h, w, c + 1) whose last channel says how opaque they are.

    What shows behind them is `background`, (c,), white unless given.
    """
    values, opaque = stored[..., :-1], stored[..., -1:]
    most = int(np.iinfo(stored.dtype).max)
    if (opaque == most).all():
        return np.ascontiguousarray(values)
    light, share = values.astype(np.int64), opaque.astype(np.int64)
    shown = light * share if alpha == "straight" else np.minimum(light, share) * most
    behind = (most if background is None else background) * (most - share)
    return ((shown + behind + most // 2) // most).astype(stored.dtype)


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
    if not isinstance(header, ImageHeader) or not header.levels or header.n_channels < 1 or header.dtype not in DTYPES:
        expected = f"an ImageHeader with a level, a channel and a dtype of {', '.join(DTYPES)}"
        raise ImageError(path, found=f"a header {header!r}", expected=expected, hint=hint)
    for level in header.levels:
        sizes = [n * scale for n, scale in zip(level.shape, level.scale, strict=True)]
        # coarse levels may lose part of a pixel at the border, or gain one
        misfit = max(abs(size - n) / scale for size, n, scale in zip(sizes, header.shape, level.scale, strict=True))
        if min(level.shape) < 1 or misfit > 1.0 + 0.01 * max(level.shape):
            found = f"level {level.name} of {level.shape} px, each as large as {level.scale} of the first level's"
            raise ImageError(path, found=found, expected=f"the {header.shape} px of the first level", hint=hint)
    return header
