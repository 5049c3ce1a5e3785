"""What an image file says of itself - size, channels, pyramid levels, pixel size - without reading its pixels."""

from __future__ import annotations

import json
import math
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from PIL import Image

from cytomesh.core.errors import ImageError
from cytomesh.core.reading import regular_size
from cytomesh.study.png_chunks import has_orientation, png_bits
from cytomesh.study.tiff_tags import refuse_cut_off, refuse_meaning, refuse_orientation, section_series, tiff_pixel_size
from cytomesh.study.units import micrometres, square_um

# Channels of what Pillow tells apart; palettes become RGB, and transparent pixels white.
PLAIN_CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3}
TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".svs", ".ndpi", ".scn")
PLAIN_SUFFIXES = (".png", ".jpg", ".jpeg")
HINT_FORMATS = "give OME-Zarr (a folder), TIFF, BigTIFF, OME-TIFF, PNG or JPEG, 8-bit grey or RGB"
EXIF_ORIENTATION = 0x0112
# What is decoded at once - a whole PNG or JPEG, a tile of a TIFF, a chunk of a Zarr - may have so many pixels.
MAX_DECODED_PX = 2**31
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Deflate makes data at most 1,032 times smaller; a JPEG has a bit or more for each 8 x 8 px.
DEFLATE_RATIO = 1032
JPEG_PX_PER_BYTE = 512
MAX_JSON_BYTES = 2**24
_opening = threading.Lock()


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
    """Kind, axes and levels of an image, finest level first.

    Parameters
    ----------
    path : Path
        The image.
    kind : {"zarr", "tiff", "plain"}
        How it is stored.
    axes : str
        Axes of each level's array, lower case, such as "yx", "cyx", "yxs".
    n_channels : int
        1 (grey) or 3 (RGB), or what the file has.
    levels : tuple of ImageLevel
        At least one.
    um_per_px : float or None
        Side of the pixels of level 0 that the file states, um; they are square.
    """

    path: Path
    kind: Literal["zarr", "tiff", "plain"]
    axes: str
    n_channels: int
    levels: tuple[ImageLevel, ...]
    um_per_px: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of level 0."""
        return self.levels[0].shape


def read_header(path: Path) -> ImageHeader:
    """Read an image's header.

    Raises
    ------
    ImageError
        If the image is missing, unreadable, of an unknown format, not 8-bit, or its values are not what they would be
        taken for: grey levels or RGB of square pixels, stored upright.
    """
    is_folder = refuse_no_file(path)
    try:
        if is_folder:
            return _zarr_header(path)
        if path.name.lower().endswith(TIFF_SUFFIXES):
            return _tiff_header(path)
        if path.name.lower().endswith(PLAIN_SUFFIXES):
            return _plain_header(path)
    except ImageError:
        raise
    # Decoders raise what they like on damaged input (struct.error, SyntaxError, KeyError, ...).
    except Exception as cause:
        found = f"an image that cannot be read ({type(cause).__name__}: {cause})"
        raise ImageError(path, found=found, hint="export or copy the image again; " + HINT_FORMATS) from cause
    raise ImageError(path, found=f"unknown image format '{path.suffix}'", hint=HINT_FORMATS)


def refuse_no_file(path: Path) -> bool:
    """Return whether a path is a folder; raise ImageError unless it is one, or a file: a pipe would be waited for."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as cause:  # ValueError: a NUL in the name
        reason = "" if isinstance(cause, FileNotFoundError) else f" ({getattr(cause, 'strerror', None) or cause})"
        hint = "correct the path in the section table, or declare the section missing"
        raise ImageError(path, found=f"no such image{reason}", hint=hint) from cause
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ImageError(path, found="a pipe, socket or device", expected="a file or folder", hint=HINT_FORMATS)
    return stat.S_ISDIR(mode)


def refuse_dtype(path: Path, dtype: object) -> None:
    """Raise ImageError unless pixels are 8-bit: a hidden intensity window would change every feature."""
    if np.dtype(str(dtype)) != np.uint8:
        hint = "convert it to 8 bits with one fixed intensity window for all sections of the brain"
        raise ImageError(path, found=f"pixels of type {dtype}", expected="uint8", hint=hint)


def pyramid_level(name: str, shape: tuple[int, int], full: tuple[int, int]) -> ImageLevel:
    """Return a level whose file states no scale: an area-averaged one, so pixel corners (not centres) coincide."""
    ratios = [n / m for n, m in zip(full, shape, strict=True)]
    # 2857 px halved are 1428 or 1429 px: the factor is 2, not 2857 / 1428.
    factors = [
        float(round(r)) if abs(r - round(r)) * m <= 1.0 * round(r) else r for r, m in zip(ratios, shape, strict=True)
    ]
    return ImageLevel(name, shape, (factors[0], factors[1]), ((factors[0] - 1) / 2, (factors[1] - 1) / 2))


@contextmanager
def open_plain(path: Path) -> Iterator[Image.Image]:
    """Open a PNG or JPEG of any size, and nothing else that Pillow knows: for some formats it starts other programs.

    Histological sections are larger than Pillow's guard against decompression bombs allows for. It is a setting of the
    whole process, looked at while a file is opened: no longer than that is it lifted, by one thread at a time.
    """
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path, formats=("PNG", "JPEG"))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        _refuse_unlikely(path, image)
        yield image


def _refuse_unlikely(path: Path, image: Image.Image) -> None:
    """Raise ImageError if a PNG or JPEG says that it is larger than can be in it, or than memory is to be asked for."""
    width, height = image.size
    _refuse_size(path, (height, width), height * width, "save it as a tiled TIFF or OME-Zarr")
    size = path.stat().st_size
    if image.format == "PNG":
        with path.open("rb") as stream:
            depth, colour = stream.read(26)[24:26]
        needed = height * (1 + width * depth * PNG_CHANNELS.get(colour, 1) // 8) // DEFLATE_RATIO
    else:
        needed = height * width // JPEG_PX_PER_BYTE
    if needed > size:
        found = f"{width} x {height} px in {size:,} bytes"
        raise ImageError(path, found=found, expected="a whole image", hint="copy or export the image again")


def _plain_header(path: Path) -> ImageHeader:
    with open_plain(path) as image:
        width, height = image.size
        if image.format == "PNG" and png_bits(path) == 16:
            refuse_dtype(path, "uint16")  # Pillow cuts the low byte off, except of grey
        if image.mode not in PLAIN_CHANNELS:
            raise ImageError(path, found=f"colours of kind {image.mode}", expected="grey or RGB", hint=HINT_FORMATS)
        refuse_turned(path, image)
        n_channels = PLAIN_CHANNELS[image.mode]
    return ImageHeader(
        path, "plain", "yx" if n_channels == 1 else "yxs", n_channels, (ImageLevel("0", (height, width)),)
    )


def refuse_turned(path: Path, image: Image.Image) -> None:
    """Raise ImageError if a PNG or JPEG asks to be turned or mirrored for display."""
    # Pillow would decode a whole PNG to look behind its pixels for EXIF
    if image.format == "JPEG" or has_orientation(path):
        refuse_orientation(path, image.getexif().get(EXIF_ORIENTATION))


def _refuse_size(path: Path, shape: tuple[int, ...], decoded_px: int, hint: str) -> None:
    """Raise ImageError if a header declares no pixels, or more at once than memory is to be asked for."""
    if min(shape) < 1 or not 1 <= decoded_px <= MAX_DECODED_PX:
        found = f"{' x '.join(map(str, shape))}, {decoded_px} px to decode at once"
        raise ImageError(path, found=found, expected=f"1 to {MAX_DECODED_PX} px", hint=hint)


def _tiff_header(path: Path) -> ImageHeader:
    with tifffile.TiffFile(path) as tiff:
        series = section_series(path, tiff)
        refuse_dtype(path, series.dtype)
        axes = series.axes.lower()
        refuse_meaning(path, series.keyframe)
        refuse_cut_off(path, tiff, [level.keyframe for level in series.levels])
        _check_axes(path, axes, series.shape)
        for level in series.levels:
            _refuse_size(path, level.shape, math.prod(level.keyframe.chunks), "save it in tiles, or as OME-Zarr")
        shapes = [_plane_shape(axes, level.shape) for level in series.levels]
        levels = tuple(pyramid_level(str(i), shape, shapes[0]) for i, shape in enumerate(shapes))
        n_channels = _channels(axes, series.shape)
        um_per_px = tiff_pixel_size(path, tiff, series.keyframe)
    return ImageHeader(path, "tiff", axes, n_channels, levels, um_per_px)


def _zarr_header(path: Path) -> ImageHeader:
    """Read OME-Zarr metadata: 0.5 keeps it in zarr.json under "ome", 0.4 in .zattrs."""
    if (path / "zarr.json").is_file():
        attributes = _json(path / "zarr.json").get("attributes", {}).get("ome", {})
    elif (path / ".zattrs").is_file():
        attributes = _json(path / ".zattrs")
    else:
        raise ImageError(
            path, found="a folder without zarr.json or .zattrs", expected="an OME-Zarr image", hint=HINT_FORMATS
        )
    if not attributes.get("multiscales"):
        raise ImageError(
            path,
            found="no 'multiscales' metadata",
            expected="OME-Zarr 0.4 or 0.5",
            hint="point to the image group itself",
        )
    multiscales = attributes["multiscales"][0]
    if not all(isinstance(axis, dict) for axis in multiscales.get("axes", [""])):
        found = f"OME-Zarr {multiscales.get('version', 'before 0.4')}"
        hint = "write it as OME-Zarr 0.4 or 0.5, whose axes have names and units"
        raise ImageError(path, found=found, expected="OME-Zarr 0.4 or 0.5", hint=hint)
    names = [axis["name"].lower() for axis in multiscales["axes"]]
    axes = "".join(names)
    levels: list[ImageLevel] = []
    um_per_px, n_channels = None, 1
    base = (np.ones(len(axes)), np.zeros(len(axes)))
    common = multiscales.get("coordinateTransformations", [])
    for dataset in multiscales["datasets"]:
        array_shape, dtype, chunk = _zarr_array(path / dataset["path"])
        refuse_dtype(path, dtype)
        _check_axes(path, axes, array_shape)
        _refuse_size(path, array_shape, math.prod(chunk), "write it in smaller chunks")
        own = dataset.get("coordinateTransformations", [])
        scale, shift = _zarr_transform(path, own, len(axes))
        shape = _plane_shape(axes, array_shape)
        rows, columns = names.index("y"), names.index("x")
        if not levels:
            base, n_channels = (scale, shift), _channels(axes, array_shape)
            steps = _zarr_transform(path, [*own, *common], len(axes))[0]
            units = [micrometres(multiscales["axes"][i].get("unit")) for i in (columns, rows)]
            if units[0] and units[1]:
                um_per_px = square_um(path, float(steps[columns] * units[0]), float(steps[rows] * units[1]))
            levels.append(ImageLevel(dataset["path"], shape))
            continue
        factor, offset = scale / base[0], (shift - base[1]) / base[0]
        level = pyramid_level(dataset["path"], shape, levels[0].shape)
        if shift.any() or base[1].any():
            pair = (float(factor[rows]), float(factor[columns]))
            level = ImageLevel(dataset["path"], shape, pair, (float(offset[rows]), float(offset[columns])))
        levels.append(level)
    return ImageHeader(path, "zarr", axes, n_channels, tuple(levels), um_per_px)


def _zarr_array(path: Path) -> tuple[tuple[int, ...], str, tuple[int, ...]]:
    """Return shape, type and chunk of an array; of a sharded one the shard."""
    if (path / "zarr.json").is_file():
        facts = _json(path / "zarr.json")
        return tuple(facts["shape"]), facts["data_type"], tuple(facts["chunk_grid"]["configuration"]["chunk_shape"])
    if (path / ".zarray").is_file():
        facts = _json(path / ".zarray")
        return tuple(facts["shape"]), facts["dtype"], tuple(facts["chunks"])
    raise ImageError(
        path, found="no array", expected="the level that the image's metadata names", hint="copy the image again"
    )


def _zarr_transform(
    path: Path, transforms: list[dict[str, Any]], n: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return scale and shift, (n,), of transforms that follow one another: a dataset's, then those of all levels."""
    scale, shift = np.ones(n), np.zeros(n)
    for transform in transforms:
        if transform["type"] == "scale":
            step = np.asarray(transform["scale"], float)
            if not (np.isfinite(step) & (step > 0)).all():
                hint = "turn the pixels themselves, and write positive scales"
                raise ImageError(path, found=f"scale {step.tolist()}", expected="positive numbers", hint=hint)
            scale, shift = scale * step, shift * step
        elif transform["type"] == "translation":
            shift = shift + np.asarray(transform["translation"], float)
    return scale, shift


def _check_axes(path: Path, axes: str, shape: tuple[int, ...]) -> None:
    extra = [axis for axis, n in zip(axes, shape, strict=True) if axis not in "yxcs" and n != 1]
    if extra or "y" not in axes or "x" not in axes or _channels(axes, shape) not in (1, 3):
        found = f"axes {axes} of {'x'.join(map(str, shape))}"
        raise ImageError(
            path, found=found, expected="one plane, grey or RGB", hint="export one 2D plane with 1 or 3 channels"
        )


def _plane_shape(axes: str, shape: tuple[int, ...]) -> tuple[int, int]:
    return int(shape[axes.index("y")]), int(shape[axes.index("x")])


def _channels(axes: str, shape: tuple[int, ...]) -> int:
    return int(np.prod([n for axis, n in zip(axes, shape, strict=True) if axis in "cs"] or [1]))


def _json(path: Path) -> Any:
    regular_size(path, MAX_JSON_BYTES)
    return json.loads(path.read_text(encoding="utf-8"))
