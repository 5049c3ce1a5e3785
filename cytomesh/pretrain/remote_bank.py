"""A bank whose files lie in an object store or on a web server: of each batch, the rows that it needs are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import DamagedError
from cytomesh.core.object_store import read_ranges, sizes
from cytomesh.core.remote import BLOCK_BYTES, RemotePath
from cytomesh.pretrain.bank_index import INDEX, BankIndex
from cytomesh.pretrain.patches import BySection
from cytomesh.pretrain.pool import PatchPool


class RemoteBank(BySection):
    """Patches of a bank at an address, without copies on this machine.

    Parameters
    ----------
    index : BankIndex
    home : RemotePath
        Where its files lie.
    pool : PatchPool
        The one that it was made from.
    """

    def __init__(self, index: BankIndex, home: RemotePath, pool: PatchPool) -> None:
        super().__init__(pool)
        self._index = index
        self._paths = [home / section.file for section in index.sections]
        self._n_bytes = math.prod(index.shape)
        self._known: set[int] = set()

    def _all_of(self, wanted: Sequence[tuple[int, NDArray[np.int64]]]) -> list[NDArray[np.uint8]]:
        """Ask for the rows of all sections at once."""
        if new := [number for number, _ in wanted if number not in self._known]:
            self._check(new)
        spans = [(number, span) for number, places in wanted for span in self._spans(places)]
        answers = iter(read_ranges([(self._paths[number], *self._bytes(number, *span)) for number, span in spans]))
        parts = []
        for _, places in wanted:
            found = np.empty((len(places), *self._index.shape), np.uint8)
            for first, last in self._spans(places):
                rows = np.frombuffer(next(answers), np.uint8).reshape(-1, *self._index.shape)
                is_there = (places >= first) & (places <= last)
                found[is_there] = rows[places[is_there] - first]
            parts.append(found)
        return parts

    def _spans(self, places: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Return first and last rows of what is asked for together: a small gap is read sooner than asked around."""
        rows = np.unique(places)
        after = np.flatnonzero(np.diff(rows) > 1 + BLOCK_BYTES // self._n_bytes) + 1
        return [(int(span[0]), int(span[-1])) for span in np.split(rows, after)]

    def _bytes(self, number: int, first: int, last: int) -> tuple[int, int]:
        """Return where rows begin and end in a file: they are its end, in order, without gaps."""
        section = self._index.sections[number]
        start = section.bytes - section.patches * self._n_bytes
        return start + first * self._n_bytes, start + (last + 1) * self._n_bytes

    def _check(self, numbers: Sequence[int]) -> None:
        """Look at the sizes of files before they are first read."""
        found = sizes([self._paths[number] for number in numbers])
        for number, size in zip(numbers, found, strict=True):
            n_bytes = self._index.sections[number].bytes
            if size != n_bytes:
                said = "no such file" if size is None else f"{size:,} bytes"
                expected = f"{n_bytes:,} bytes, as {INDEX} says"
                raise DamagedError(self._paths[number], found=said, expected=expected, hint=self._index.hint)
        self._known.update(numbers)
