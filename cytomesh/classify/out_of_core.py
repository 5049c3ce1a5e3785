"""Inputs that may be larger than memory: kept as they are stored, made ready row by row when asked for."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from cytomesh.core.files import atomic_path, new_npy, open_npy
from cytomesh.core.reading import reading
from cytomesh.graph.neighbourhoods import Floats, Mask

CHUNK_VALUES = 2**26
"""Numbers that are worked on at once."""
Rows = NDArray[np.int64]
ValuesT = TypeVar("ValuesT", bound=NDArray[Any])


@dataclass(frozen=True, slots=True)
class StoredInput:
    """One input of one graph.

    Parameters
    ----------
    source : (n, d) array in memory or mapped from disk in any precision, or CSR
        Rows of nodes without the input hold NaN.
    moments : (2, d) or (2, 1) float32, optional
        Mean and SD to standardise with.
    clip_sd : float
        Standardised values are clipped at this many SD.
    filled_rows : (m,) int64
        Nodes whose values come from `filled`, ascending.
    filled : (m, d) float32
    """

    source: Any
    moments: Floats | None = None
    clip_sd: float = np.inf
    filled_rows: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    filled: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return int(self.source.shape[1])

    def rows(self, index: Rows, columns: slice = slice(None)) -> Floats:
        """Return some nodes' values, (r, d) float32, in new memory."""
        if sp.issparse(self.source):
            values = _single(self.source[index][:, columns].toarray())
        else:
            values = _single(self.source[:, columns][index])
        release(self.source)
        if self.moments is not None:
            mean, sd = self.moments if self.moments.shape[1] == 1 else self.moments[:, columns]
            values -= mean
            values /= sd
            np.clip(values, -self.clip_sd, self.clip_sd, out=values)
        if self.filled_rows.size:
            position = np.searchsorted(self.filled_rows, index).clip(max=self.filled_rows.size - 1)
            here = self.filled_rows[position] == index
            values[here] = self.filled[position[here], columns]
            release(self.filled)
        return values


@dataclass(frozen=True)
class StoredInputs:
    """Inputs of the nodes of several graphs, (n, d) float32: like an array of which only rows can be had.

    Parameters
    ----------
    pieces : tuple of tuples of StoredInput
        For each graph, its inputs from left to right.
    chosen : (n,) int64, optional
        Which of the graphs' nodes these are, one graph after the other; all by default.
    """

    pieces: tuple[tuple[StoredInput, ...], ...]
    chosen: Rows | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Nodes, columns."""
        n = int(self._starts()[-1]) if self.chosen is None else len(self.chosen)
        return n, sum(column.width for column in self.pieces[0])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[Any] | slice) -> Floats:
        """Make the inputs of some nodes, given as a mask, positions or a slice."""
        wanted = self._nodes(rows)
        starts = self._starts()
        graph = np.searchsorted(starts, wanted, side="right") - 1
        out = np.empty((len(wanted), self.shape[1]), np.float32)
        for g in np.unique(graph).tolist():
            here = graph == g
            start = 0
            for column in self.pieces[g]:
                out[here, start : start + column.width] = column.rows(wanted[here] - starts[g])
                start += column.width
        return out

    def take(self, rows: NDArray[Any] | slice) -> StoredInputs:
        """Choose some nodes without making their inputs."""
        return StoredInputs(self.pieces, self._nodes(rows))

    def _starts(self) -> Rows:
        return np.cumsum([0, *(piece[0].source.shape[0] for piece in self.pieces)])

    def _nodes(self, rows: NDArray[Any] | slice) -> Rows:
        if self.chosen is not None:
            return np.asarray(self.chosen[rows])
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        return np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows, np.int64)


Inputs = Floats | StoredInputs
"""(n, d) float32, in memory or not."""


def join(inputs: Sequence[Inputs]) -> Inputs:
    """Put the inputs of several graphs one below the other."""
    arrays = [part for part in inputs if isinstance(part, np.ndarray)]
    if len(arrays) == len(inputs):
        return np.concatenate(arrays)
    return StoredInputs(tuple(piece for part in inputs if isinstance(part, StoredInputs) for piece in part.pieces))


def take(inputs: Inputs, rows: NDArray[Any] | slice) -> Inputs:
    """Choose rows: a copy of an array, none of what is stored."""
    return inputs[rows] if isinstance(inputs, np.ndarray) else inputs.take(rows)


def in_chunks(inputs: Inputs) -> Iterator[tuple[int, Floats]]:
    """Yield the first row and the values of chunks of at most `CHUNK_VALUES` numbers."""
    n, d = inputs.shape
    size = max(1, CHUNK_VALUES // max(1, d))
    for start in range(0, n, size):
        yield start, inputs[start : start + size]


def dense(inputs: StoredInputs) -> Floats:
    """Make all rows."""
    out = np.empty(inputs.shape, np.float32)
    for start, chunk in in_chunks(inputs):
        out[start : start + len(chunk)] = chunk
    return out


def map_rows(function: Callable[[Floats], ValuesT], inputs: Inputs) -> ValuesT:
    """Apply a function of rows: to an array as it is, to what is stored chunk by chunk."""
    if isinstance(inputs, np.ndarray):
        return function(inputs)
    return np.concatenate([function(chunk) for _, chunk in in_chunks(inputs)])  # type: ignore[return-value]


def column_groups(n: int, d: int) -> list[slice]:
    """Cut d columns of n rows into groups of at most `CHUNK_VALUES` numbers."""
    width = max(1, CHUNK_VALUES // max(1, n))
    return [slice(start, min(start + width, d)) for start in range(0, d, width)]


def known_rows(source: Any, is_sure: Mask) -> Mask:
    """Return which rows hold finite values only; those that are sure to are not read."""
    known = is_sure.copy()
    rows = np.flatnonzero(~is_sure)
    for start, chunk in in_chunks(StoredInputs(((StoredInput(source),),), rows)):
        known[rows[start : start + len(chunk)]] = np.isfinite(chunk).all(axis=1)
    return known


def keep(scratch: Path | None, name: str, shape: tuple[int, int], fill: Callable[[Floats], None]) -> Floats:
    """Make an array in memory or, where there is a scratch folder, in a file that is mapped, whole or not at all.

    What an interrupted run has left in the scratch folder is used again. Under several ranks, the first one writes and
    the others wait.
    """
    if scratch is None:
        out = np.empty(shape, np.float32)
        fill(out)
        return out
    path = scratch / f"{name}.npy"
    if not (dist.is_initialized() and dist.get_rank()) and not path.is_file():
        with atomic_path(path) as temporary:
            written = new_npy(temporary, shape, np.float32)
            fill(written)
            written.flush()
    if dist.is_initialized():
        dist.barrier()
    with reading(path):
        return np.asanyarray(open_npy(path))


def _single(values: NDArray[Any]) -> Floats:
    if values.dtype == np.float16:  # several times as fast as NumPy
        return torch.from_numpy(np.asarray(values)).float().numpy()
    return np.asarray(values, np.float32)


def release(array: Any) -> None:
    """Let go of the pages of a mapped file that were read.

    They stay in the system's cache, but no longer count as memory of this process.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # not on every system
        mapped.madvise(mmap.MADV_DONTNEED)
