"""Images whose levels are arrays that are read in windows: TIFF and OME-Zarr."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.last_used import LastUsed
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.image_formats.reader import ImageHeader, ImageReader, named, on_background


class ArrayReader(ImageReader):
    """Levels as arrays with the axes of the header; a subclass opens them."""

    def __init__(self, header: ImageHeader) -> None:
        super().__init__(header)
        self._arrays: LastUsed[int, Any] = LastUsed(len(header.levels))

    @cached_property
    def planes(self) -> dict[str, int]:
        """Which plane is read, the number along each axis that has planes."""
        return planes_of(self.header.path, self.header.axes, self.array(0).shape, self.header.part)

    def array(self, level: int) -> Any:
        """Return the array of a level, with a shape and chunks; it is opened when it is needed first."""
        with named(self.header.path, "an image that cannot be read"):
            return self._arrays.get(level, lambda: self.open_level(level))

    @abstractmethod
    def open_level(self, level: int) -> Any:
        """Open the array of a level."""

    def tile(self, level: int) -> tuple[int, int]:
        """Return rows and columns of a chunk."""
        chunks, axes = self.array(level).chunks, self.header.axes
        return chunks[axes.index("y")], chunks[axes.index("x")]

    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Decode a window of a level."""
        return self.decode_channels(level, rows, columns, slice(None))

    def decode_channels(self, level: int, rows: slice, columns: slice, channels: slice) -> NDArray[Any]:
        """Decode a window of a level, with its channels last, transparent pixels white."""
        header, axes = self.header, self.header.axes
        is_apart = "c" in axes and "s" not in axes
        values = self.load(level, self.window(rows, columns, channels if is_apart else slice(None)))
        order = [axes.index("y"), axes.index("x")]
        others = [i for i in range(values.ndim) if i not in order]
        height, width = (values.shape[i] for i in order)
        n_values = math.prod(values.shape[i] for i in others)
        stored = np.ascontiguousarray(values.transpose(*order, *others).reshape(height, width, n_values))
        shown = on_background(stored, header.alpha) if header.alpha else stored
        return shown if is_apart else shown[..., channels]

    def load(self, level: int, window: tuple[slice, ...]) -> NDArray[Any]:
        """Decode what an array holds in a window."""
        return np.asarray(self.array(level)[window], np.dtype(self.header.dtype))

    def window(self, rows: slice, columns: slice, channels: slice = slice(None)) -> tuple[slice, ...]:
        """Return rows, columns and channels, of the plane that is read, in the order of the axes."""
        parts = {"y": rows, "x": columns, "c": channels, "s": slice(None)}
        parts |= {axis: slice(index, index + 1) for axis, index in self.planes.items()}
        return tuple(parts[axis] for axis in self.header.axes)


def planes_of(path: Path, axes: str, shape: tuple[int, ...], part: ImagePart) -> dict[str, int]:
    """Return which plane of an array is read, the number along each axis that has planes.

    Raises
    ------
    ImageError
        If an array has no rows or columns, or several planes of which none is named.
    """
    if "y" not in axes or "x" not in axes:
        found = f"axes {axes} of {'x'.join(map(str, shape))}"
        raise ImageError(path, found=found, expected="rows and columns, y and x", hint="export one 2D plane")
    return part.planes(path, {axis: n for axis, n in zip(axes, shape, strict=True) if axis not in "yxcs"})


def plane_shape(axes: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns of an array."""
    return int(shape[axes.index("y")]), int(shape[axes.index("x")])


def count_channels(axes: str, shape: tuple[int, ...]) -> int:
    """Return how many channels an array has."""
    return int(np.prod([n for axis, n in zip(axes, shape, strict=True) if axis in "cs"] or [1]))


def channel_names(names: Sequence[object], n_channels: int) -> tuple[str, ...]:
    """Return the names of channels; none if a file does not name each of them otherwise."""
    texts = tuple(str(name).strip() for name in names if name)
    return texts if len(set(texts)) == len(names) == n_channels else ()
