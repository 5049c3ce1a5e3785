"""What an image file says of itself - size, channels, pyramid levels, pixel size - without reading its pixels."""

from __future__ import annotations

import json
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

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".svs", ".ndpi", ".scn")
PLAIN_SUFFIXES = (".png", ".jpg", ".jpeg")
HINT_FORMATS = "give OME-Zarr (a folder), TIFF, BigTIFF, OME-TIFF, PNG or JPEG, 8-bit grey or RGB"
_opening = threading.Lock()
UNITS_UM = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}


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
        Pixel size that the file states for level 0, um.
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
        If the image is missing, unreadable, of an unknown format or not 8-bit.
    """
    if not path.exists():
        raise ImageError(
            path, found="no such image", hint="correct the path in the section table, or declare the section missing"
        )
    try:
        if path.is_dir():
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
    """Open a PNG or JPEG of any size.

    Histological sections are larger than Pillow's guard against decompression bombs allows for. It is a setting of the
    whole process, looked at while a file is opened: no longer than that is it lifted, by one thread at a time.
    """
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _plain_header(path: Path) -> ImageHeader:
    with open_plain(path) as image:
        width, height = image.size
        if image.mode.startswith(("I", "F")):
            refuse_dtype(path, "uint16" if image.mode.startswith("I") else "float32")
        n_channels = 1 if image.mode in ("1", "L", "LA") else 3
    return ImageHeader(
        path, "plain", "yx" if n_channels == 1 else "yxs", n_channels, (ImageLevel("0", (height, width)),)
    )


def _tiff_header(path: Path) -> ImageHeader:
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        refuse_dtype(path, series.dtype)
        axes = series.axes.lower()
        _check_axes(path, axes, series.shape)
        shapes = [_plane_shape(axes, level.shape) for level in series.levels]
        levels = tuple(pyramid_level(str(i), shape, shapes[0]) for i, shape in enumerate(shapes))
        n_channels = _channels(axes, series.shape)
        um_per_px = _ome_pixel_size(tiff.ome_metadata)
    return ImageHeader(path, "tiff", axes, n_channels, levels, um_per_px)


def _ome_pixel_size(xml: str | None) -> float | None:
    if not xml:
        return None
    pixels = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
    size = pixels.get("PhysicalSizeX")
    unit = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3}.get(pixels.get("PhysicalSizeXUnit", "µm"))
    return float(size) * unit if size and unit else None


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
    names = [axis["name"].lower() for axis in multiscales["axes"]]
    axes = "".join(names)
    unit = UNITS_UM.get(multiscales["axes"][names.index("x")].get("unit", ""))
    levels: list[ImageLevel] = []
    um_per_px, n_channels = None, 1
    base = (np.ones(len(axes)), np.zeros(len(axes)))
    for dataset in multiscales["datasets"]:
        array_shape, dtype = _zarr_array(path / dataset["path"])
        refuse_dtype(path, dtype)
        _check_axes(path, axes, array_shape)
        scale, shift = _zarr_transform(dataset.get("coordinateTransformations", []), len(axes))
        shape = _plane_shape(axes, array_shape)
        if not levels:
            base, n_channels = (scale, shift), _channels(axes, array_shape)
            um_per_px = float(scale[names.index("x")] * unit) if unit else None
            levels.append(ImageLevel(dataset["path"], shape))
            continue
        rows, columns = names.index("y"), names.index("x")
        factor, offset = scale / base[0], (shift - base[1]) / base[0]
        level = pyramid_level(dataset["path"], shape, levels[0].shape)
        if shift.any() or base[1].any():
            pair = (float(factor[rows]), float(factor[columns]))
            level = ImageLevel(dataset["path"], shape, pair, (float(offset[rows]), float(offset[columns])))
        levels.append(level)
    return ImageHeader(path, "zarr", axes, n_channels, tuple(levels), um_per_px)


def _zarr_array(path: Path) -> tuple[tuple[int, ...], str]:
    for name, key in (("zarr.json", "data_type"), (".zarray", "dtype")):
        if (path / name).is_file():
            facts = _json(path / name)
            return tuple(facts["shape"]), facts[key]
    raise ImageError(
        path, found="no array", expected="the level that the image's metadata names", hint="copy the image again"
    )


def _zarr_transform(transforms: list[dict[str, Any]], n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    scale, shift = np.ones(n), np.zeros(n)
    for transform in transforms:
        if transform["type"] == "scale":
            scale = scale * np.asarray(transform["scale"], float)
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
    return json.loads(path.read_text(encoding="utf-8"))
