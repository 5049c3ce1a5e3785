"""Chunks of Zarr arrays, read one by one: zarr-python takes milliseconds a window, which is more than decoding one.

What it says of an array - shape, chunks, codecs, names of files - is taken from it; files and codecs of images are read
here. Arrays with any other codecs are left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
import zarr
from numpy.typing import NDArray

from cytomesh.core.last_used import LastUsed
from cytomesh.core.reading import regular_size
from cytomesh.study.image_formats.chunks import ChunkedArray, DiskFile, Place

Decompress = Callable[[bytes, int], Any]
"""Of compressed bytes, and how many they become."""

CODECS: dict[str, Decompress] = {
    "zstd": lambda data, n: imagecodecs.zstd_decode(data, out=n),
    "blosc": lambda data, n: imagecodecs.blosc_decode(data, out=n),
    "gzip": lambda data, n: imagecodecs.gzip_decode(data, out=n),
}
# Entries of a shard's index: where a chunk begins, and its bytes; both are this if it is not stored (Zarr v3).
ABSENT = 2**64 - 1
ENTRY_BYTES, CHECKSUM_BYTES = 16, 4
KEPT_INDEX_BYTES = 2**22


@dataclass(frozen=True)
class Coding:
    """How the bytes of a chunk are its values, in the order of the axes.

    Parameters
    ----------
    chunks : tuple of int
    dtype : dtype
        With the order of bytes that is stored.
    decompress : callable or None
        None if they are stored as they are.
    """

    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    decompress: Decompress | None


class ZarrChunks(ChunkedArray):
    """An array in one folder, sharded or not; use `open_array`.

    Parameters
    ----------
    folder : Path
    array : zarr.Array
        The same, opened.
    coding : Coding
    """

    def __init__(self, folder: Path, array: zarr.Array[Any], coding: Coding) -> None:
        super().__init__(array.shape, coding.chunks, coding.dtype)
        self._folder = folder
        self.metadata = array.metadata
        self.shards: tuple[int, ...] | None = array.shards
        self.fill_value: Any = array.fill_value
        self._decompress = coding.decompress
        self._n_bytes = int(np.prod(coding.chunks)) * coding.dtype.itemsize
        self._indices: LastUsed[str, NDArray[np.uint64]] = LastUsed(KEPT_INDEX_BYTES, lambda index: index.nbytes)

    def decode(self, place: Place) -> NDArray[Any]:
        """Decode a chunk."""
        data = self._whole(place) if self.shards is None else self._part(place)
        if data is None:
            return np.full(self.chunks, self.fill_value or 0, self.dtype)
        values = data if self._decompress is None else self._decompress(data, self._n_bytes)
        return np.frombuffer(values, self.dtype).reshape(self.chunks)

    def _whole(self, place: Place) -> bytes:
        with self._open(self.metadata.encode_chunk_key(place)) as file:
            return file.readall()

    def _open(self, key: str) -> DiskFile:
        path = self._folder / key
        regular_size(path)  # a pipe would be waited for, and a device has no end
        return DiskFile(path)

    def _part(self, place: Place) -> bytes | None:
        """Read a chunk of a shard; None if it is not stored."""
        assert self.shards is not None
        ratios = [shard // chunk for shard, chunk in zip(self.shards, self.chunks, strict=True)]
        outer, inner = zip(*(divmod(i, ratio) for i, ratio in zip(place, ratios, strict=True)), strict=True)
        key = self.metadata.encode_chunk_key(outer)
        with self._open(key) as file:
            start, n = self._indices.get(key, lambda: self._read_index(file, ratios))[inner].tolist()
            if start == n == ABSENT:
                return None
            if n > file.n_bytes:  # before memory is asked for
                raise ValueError(f"a chunk of {n} bytes in {key}")
            return file.read_at(start, n)

    def _read_index(self, file: DiskFile, ratios: list[int]) -> NDArray[np.uint64]:
        """Read a shard's index, (..., 2), with a CRC-32C behind it."""
        n_bytes = ENTRY_BYTES * int(np.prod(ratios))
        is_first = self.metadata.codecs[0].index_location.value == "start"
        start = 0 if is_first else file.n_bytes - n_bytes - CHECKSUM_BYTES
        data = file.read_at(max(0, start), n_bytes + CHECKSUM_BYTES)
        if google_crc32c.value(data[:n_bytes]) != int.from_bytes(data[n_bytes:], "little"):
            raise ValueError("a shard whose index is damaged")
        return np.frombuffer(data, "<u8", 2 * int(np.prod(ratios))).reshape(*ratios, 2)


def open_array(folder: Path) -> Any:
    """Open an array to read windows of it: its chunks, or if these have further codecs, zarr's array."""
    array = zarr.open_array(str(folder), mode="r")
    coding = _coding_v2(array) if array.metadata.zarr_format == 2 else _coding_v3(array)
    return array if coding is None else ZarrChunks(folder, array, coding)


def _coding_v2(array: Any) -> Coding | None:
    facts = array.metadata
    if facts.order != "C" or facts.filters or not facts.chunks:
        return None
    codec = facts.compressor
    return Coding(array.chunks, np.dtype(array.dtype), codec and (lambda data, _: codec.decode(data)))


def _coding_v3(array: Any) -> Coding | None:
    steps = [codec.to_dict() for codec in array.metadata.codecs]
    if [step["name"] for step in steps] == ["sharding_indexed"]:
        shard: Any = steps[0]["configuration"]
        of_index = [(step["name"], step.get("configuration", {}).get("endian")) for step in shard["index_codecs"]]
        if of_index != [("bytes", "little"), ("crc32c", None)]:
            return None
        steps = list(shard["codecs"])
    names = [step["name"] for step in steps]
    if names[:1] != ["bytes"] or len(names) > 2 or not set(names[1:]) <= set(CODECS):
        return None
    endian = steps[0].get("configuration", {}).get("endian", "little")
    stored = np.dtype(array.dtype).newbyteorder("<" if endian == "little" else ">")
    return Coding(array.chunks, stored, CODECS[names[1]] if names[1:] else None)
