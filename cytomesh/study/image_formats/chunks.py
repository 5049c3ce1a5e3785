"""Arrays that are stored in chunks, each decoded as a whole: tiles and strips of a TIFF, chunks of a Zarr array."""

from __future__ import annotations

import itertools
import math
import os
from abc import ABC, abstractmethod
from io import FileIO
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Place = tuple[int, ...]
"""Of a chunk: how many chunks lie before it along each axis."""


class ChunkedArray(ABC):
    """An array of which windows are read.

    Parameters
    ----------
    shape : tuple of int
    chunks : tuple of int
        Shape of a chunk; the last ones along an axis may lie in part beyond the array.
    dtype : dtype
        As it is stored.
    """

    def __init__(self, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.chunks = chunks
        self.dtype = dtype
        self.grid = tuple(-(-n // size) for n, size in zip(shape, chunks, strict=True))

    @abstractmethod
    def decode(self, place: Place) -> NDArray[Any]:
        """Decode a chunk, or what of it lies within the array; called by several threads at once."""

    def __getitem__(self, window: tuple[slice, ...]) -> NDArray[Any]:
        """Return a window; what is part of one chunk is a view of it."""
        bounds = [part.indices(n)[:2] for part, n in zip(window, self.shape, strict=True)]
        spans = [
            range(a // size, -(-b // size)) if b > a else range(0)
            for (a, b), size in zip(bounds, self.chunks, strict=True)
        ]
        n_chunks = math.prod(map(len, spans))
        found: NDArray[Any] | None = None
        # the last one first: what is cut off, or not there, is found out before memory is asked for
        for place in itertools.product(*map(reversed, spans)):
            chunk = self.decode(place)
            lows = [max(a, i * size) for i, size, (a, _) in zip(place, self.chunks, bounds, strict=True)]
            highs = [min(b, (i + 1) * size) for i, size, (_, b) in zip(place, self.chunks, bounds, strict=True)]
            spans_of = zip(lows, highs, place, self.chunks, strict=True)
            part = chunk[tuple(slice(low - i * size, high - i * size) for low, high, i, size in spans_of)]
            if n_chunks == 1:
                return part
            if found is None:
                found = np.empty([b - a for a, b in bounds], self.dtype)
            found[tuple(slice(low - a, high - a) for low, high, (a, _) in zip(lows, highs, bounds, strict=True))] = part
        return np.empty([max(0, b - a) for a, b in bounds], self.dtype) if found is None else found

    def number(self, place: Place) -> int:
        """Return how many chunks come before one, row by row."""
        found = 0
        for i, n in zip(place, self.grid, strict=True):
            found = found * n + i
        return found

    def inside(self, place: Place) -> tuple[int, ...]:
        """Return the shape of what of a chunk lies within the array."""
        return tuple(min(size, n - i * size) for i, size, n in zip(place, self.chunks, self.shape, strict=True))


class OpenFile(Protocol):
    """A file that is read at any place by several threads at once, on a disk or at an address."""

    def read_at(self, start: int, n: int) -> bytes:
        """Read n bytes; raise EOFError if the file ends before."""

    def close(self) -> None:
        """Close it."""


class DiskFile(FileIO):
    """A file on a disk, read whatever its position is: threads and forked processes share that."""

    def read_at(self, start: int, n: int) -> bytes:
        """Read bytes.

        Raises
        ------
        EOFError
            If the file ends before.
        """
        data = os.pread(self.fileno(), n, start)
        while len(data) < n:  # at most 2 GiB are read at once
            more = os.pread(self.fileno(), n - len(data), start + len(data))
            if not more:
                raise EOFError(f"{len(data)} bytes from {start} instead of {n}")
            data += more
        return data

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return os.fstat(self.fileno()).st_size
