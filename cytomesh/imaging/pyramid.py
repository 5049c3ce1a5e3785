"""Image pyramids of sections: windows are read lazily, levels that fit are kept in memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.files import atomic_path
from cytomesh.study.headers import ImageHeader, ImageLevel, open_plain, read_header

# Formats that have to be decoded whole get coarser levels, down to about this size.
SMALLEST_PX = 128
CHUNK_PX = 512


class Pyramid:
    """An image at several resolutions; use `open_image`.

    A context manager: leaving it closes the file. Not to be shared between processes (open the image in each).

    Parameters
    ----------
    header : ImageHeader
        What the file says of itself.
    cache_bytes : int
        Levels up to this size are decoded once and kept in memory.
    """

    def __init__(self, header: ImageHeader, cache_bytes: int) -> None:
        self.path: Path = header.path
        self.n_channels: int = header.n_channels
        self.levels: tuple[ImageLevel, ...] = header.levels
        self.um_per_px: float | None = header.um_per_px
        self._axes = header.axes
        self._cache_bytes = cache_bytes
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._keeping = threading.Lock()
        self._arrays: list[Any] = []
        self._store: Any = None
        if header.kind == "plain":
            self._open_plain()
        elif header.kind == "tiff":
            self._open_tiff()
        else:
            self._arrays = [zarr.open_array(str(self.path / level.name), mode="r") for level in self.levels]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of level 0."""
        return self.levels[0].shape

    @property
    def level_scales(self) -> tuple[float, ...]:
        """Pixel size of each level in pixels of level 0 (1, 2, 4, ...)."""
        return tuple(float(np.sqrt(level.scale[0] * level.scale[1])) for level in self.levels)

    def read(self, level: int, row0: int, row1: int, col0: int, col1: int) -> NDArray[np.uint8]:
        """Read rows row0..row1-1 and columns col0..col1-1 of a level.

        Returns
        -------
        (row1 - row0, col1 - col0, n_channels) uint8

        Raises
        ------
        ImageError
            If the window is not within the level, or its pixels cannot be decoded.
        """
        height, width = self.levels[level].shape
        if not (0 <= row0 <= row1 <= height and 0 <= col0 <= col1 <= width):
            found = f"window of rows {row0} to {row1}, columns {col0} to {col1} at level {level}"
            raise ImageError(self.path, found=found, expected=f"a window within {height} rows and {width} columns")
        if level not in self._kept and height * width * self.n_channels <= self._cache_bytes:
            with self._keeping:  # of several readers one decodes, the others wait for it
                if level not in self._kept:
                    self._kept[level] = self._decode(level, slice(0, height), slice(0, width))
        if level in self._kept:
            return self._kept[level][row0:row1, col0:col1]
        return self._decode(level, slice(row0, row1), slice(col0, col1))

    def close(self) -> None:
        """Close the file and forget what is kept."""
        if self._store is not None:
            self._store.close()
            self._store = None
        self._arrays = []
        self._kept = {}

    def __enter__(self) -> Pyramid:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_store", None) is not None:
            self.close()

    def _open_plain(self) -> None:
        with open_plain(self.path) as image:
            array = np.array(image.convert("L" if self.n_channels == 1 else "RGB"))
        arrays = [array.reshape(*array.shape[:2], self.n_channels)]
        while max(arrays[-1].shape[:2]) >= 2 * SMALLEST_PX:
            arrays.append(halve(arrays[-1]))
        self._kept = dict(enumerate(arrays))
        self.levels = _halved_levels(self.shape, len(arrays))

    def _open_tiff(self) -> None:
        self._store = tifffile.imread(self.path, aszarr=True)
        group = zarr.open(self._store, mode="r")
        self._arrays = [group[level.name] for level in self.levels] if isinstance(group, zarr.Group) else [group]

    def _decode(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        window = tuple({"y": rows, "x": columns}.get(axis, slice(None)) for axis in self._axes)
        try:
            array = np.asarray(self._arrays[level][window])
        except Exception as cause:  # codecs raise what they like on damaged chunks
            found = f"pixels that cannot be decoded at level {level} ({type(cause).__name__}: {cause})"
            raise ImageError(self.path, found=found, hint="copy or export the image again") from cause
        order = [self._axes.index("y"), self._axes.index("x")]
        others = [i for i in range(array.ndim) if i not in order]
        height, width = (array.shape[i] for i in order)
        return np.ascontiguousarray(array.transpose(*order, *others).reshape(height, width, self.n_channels))


def open_image(path: Path, cache_bytes: int = 1 << 26) -> Pyramid:
    """Open an OME-Zarr (0.4, 0.5), TIFF, BigTIFF, OME-TIFF, PNG or JPEG image.

    Parameters
    ----------
    path : Path
        A folder (OME-Zarr) or file.
    cache_bytes : int
        Levels up to this size are decoded once and kept in memory (64 MiB unless given).

    Raises
    ------
    ImageError
        If the image is missing, unreadable, of an unknown format or not 8-bit grey or RGB.
    """
    header = read_header(path)
    try:
        return Pyramid(header, cache_bytes)
    except Exception as cause:  # codecs raise what they like on damaged input
        found = f"an image that cannot be read ({type(cause).__name__}: {cause})"
        raise ImageError(path, found=found, hint="copy or export the image again") from cause


def write_ome_zarr(path: Path, array: NDArray[np.uint8], um_per_px: float, n_levels: int | None = None) -> None:
    """Write an OME-Zarr 0.5 pyramid, whole or not at all.

    Levels are area averages of 2 x 2 pixels. The centre of a coarse pixel lies half a fine pixel off that of its
    first fine one, which the translations in the metadata say.

    Parameters
    ----------
    path : Path
        Folder to write, usually `*.ome.zarr`; replaced if it exists.
    array : (h, w) or (h, w, c) uint8
        Level 0.
    um_per_px : float
        Pixel size of level 0, um.
    n_levels : int or None
        Number of levels; None: until the larger side is below 256 px.
    """
    planes = array[..., None] if array.ndim == 2 else array
    if planes.dtype != np.uint8 or planes.ndim != 3 or planes.shape[2] not in (1, 3):
        raise ImageError(
            path, found=f"{array.dtype} array of shape {array.shape}", expected="uint8, (h, w) or (h, w, 3)"
        )
    axes = "yx" if planes.shape[2] == 1 else "cyx"
    count = n_levels or 1 + max(0, int(np.ceil(np.log2(max(planes.shape[:2]) / (2 * SMALLEST_PX) + 1e-9))))
    with atomic_path(path) as temporary:
        group = zarr.create_group(store=str(temporary), zarr_format=3)
        for level in range(count):
            stored = planes[..., 0] if axes == "yx" else np.moveaxis(planes, 2, 0)
            chunks = tuple(min(CHUNK_PX, n) if axis in "yx" else 1 for axis, n in zip(axes, stored.shape, strict=True))
            group.create_array(str(level), data=np.ascontiguousarray(stored), chunks=chunks, dimension_names=list(axes))
            planes = halve(planes)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [_multiscales(path.name, axes, um_per_px, count)]}


def halve(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average blocks of 2 x 2 pixels of an (h, w, c) image; an odd last row or column is repeated."""
    padded = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge").astype(np.uint16)
    total = padded[0::2, 0::2] + padded[1::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def _halved_levels(shape: tuple[int, int], count: int) -> tuple[ImageLevel, ...]:
    levels = []
    for i in range(count):
        factor = float(2**i)
        levels.append(ImageLevel(str(i), shape, (factor, factor), ((factor - 1) / 2, (factor - 1) / 2)))
        shape = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    return tuple(levels)


def _multiscales(name: str, axes: str, um_per_px: float, count: int) -> dict[str, Any]:
    def transforms(level: int) -> list[dict[str, Any]]:
        size, shift = um_per_px * 2**level, um_per_px * (2**level - 1) / 2
        channels = len(axes) - 2
        scale = {"type": "scale", "scale": [1.0] * channels + [size, size]}
        return [scale, {"type": "translation", "translation": [0.0] * channels + [shift, shift]}]

    kinds = {"c": {"name": "c", "type": "channel"}}
    spatial = {axis: {"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"}
    return {
        "name": name.split(".")[0],
        "axes": [(kinds | spatial)[axis] for axis in axes],
        "datasets": [{"path": str(i), "coordinateTransformations": transforms(i)} for i in range(count)],
        "type": "area",
        "metadata": {"description": "2 x 2 means"},
    }
