"""A bank: all patches of a pool extracted once, a file a section, read as memory maps."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import StorageError
from cytomesh.core.files import atomic_path, digest, open_npy, read_object, remove, storage_fault
from cytomesh.core.provenance import Inputs
from cytomesh.core.reading import reading
from cytomesh.core.run import lock
from cytomesh.graph.provenance import IMAGES, LINKS
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.patches import BySection
from cytomesh.pretrain.pool import PatchPool

INDEX = "bank.json"
FORMAT = 1


class PatchBank(BySection):
    """Patches that were extracted before.

    Parameters
    ----------
    folder : Path
        That of the bank: `bank.json`, and a `.npy` of (n, c, s, s) uint8 for each section of the pool.
    pool : PatchPool
        The one that it was made from.
    cache : Path or None
        Folder on a disk of this machine: a section's file is copied there when it is first read, and read there.

    Raises
    ------
    DamagedError
        If the bank is not one, or not of this pool.
    """

    def __init__(self, folder: Path, pool: PatchPool, cache: Path | None = None) -> None:
        super().__init__(pool)
        self.folder = folder
        self._shape, self._bytes = _read_index(folder / INDEX, pool)
        self._cache = None if cache is None else _clean_cache(cache, folder)
        self._maps: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def _of(self, number: int, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        with self._lock:
            if number not in self._maps:
                self._maps[number] = self._open(number)
        patches: NDArray[np.uint8] = self._maps[number][places]
        return patches

    def _open(self, number: int) -> NDArray[np.uint8]:
        path = self.folder / file_name(number)
        expected = f"{self._bytes[number]:,} bytes, as {INDEX} says"
        hint = f"remove {self.folder}: the next training extracts its patches again"
        with reading(path, expected=expected, hint=hint):
            size = path.stat().st_size
            if size != self._bytes[number]:
                raise ValueError(f"{size:,} bytes")
            near = path if self._cache is None else self._copy(self._cache, number)
            patches = open_npy(near)
            if patches.shape != (len(self.pool.sections[number].rows), *self._shape) or patches.dtype != np.uint8:
                raise ValueError(f"an array of {patches.shape} {patches.dtype}")
        return patches

    def _copy(self, cache: Path, number: int) -> Path:
        """Return the copy of a section's file on this machine, which the first process to need it makes for all."""
        copy = cache / file_name(number)
        with _writing(copy), lock(cache, copy.name, wait=True):
            if not copy.is_file() or copy.stat().st_size != self._bytes[number]:
                with atomic_path(copy) as temporary:
                    shutil.copyfile(self.folder / copy.name, temporary)
        return copy


def _read_index(path: Path, pool: PatchPool) -> tuple[tuple[int, int, int], list[int]]:
    with _index(path) as index:
        sections, (channels, height, width) = index["sections"], index["shape"]
        if [(section["name"], section["patches"]) for section in sections] != contents(pool):
            raise ValueError("sections or patches of another pool")
        return (int(channels), int(height), int(width)), [int(section["bytes"]) for section in sections]


def how_cut(folder: Path) -> dict[str, float]:
    """Return `size_px`, `border_px` and `um_per_px` of a bank; nothing if it was made before banks said so.

    Raises
    ------
    DamagedError
        If the bank is not one.
    """
    with _index(folder / INDEX) as index:
        return {name: float(value) for name, value in index.get("cut", {}).items()}


@contextmanager
def _index(path: Path) -> Iterator[dict[str, Any]]:
    hint = f"remove {path.parent}: the next training extracts its patches again"
    with reading(path, expected="the index of a bank, of this version", hint=hint):
        index = read_object(path)
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}, of another version of cytomesh")
        yield index


def contents(pool: PatchPool) -> list[tuple[str, int]]:
    """Return the sections of a pool, in the order of its files, with their numbers of patches."""
    return [(part.section.name, len(part.rows)) for part in pool.sections]


def file_name(number: int) -> str:
    """Return the name of a section's file."""
    return f"{number:06d}.npy"


def _clean_cache(cache: Path, folder: Path) -> Path:
    """Return where a bank's copies lie; those of banks that its run has no longer are removed."""
    own = cache / f"cytomesh-{digest(str(folder.parent.resolve()))[:16]}"
    with _writing(own), lock(own, "banks", wait=True):
        for copies in own.iterdir():
            if copies.is_dir() and not copies.name.startswith(".") and not (folder.parent / copies.name).is_dir():
                remove(copies)
    return own / folder.name


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Name the setting where there is no room for copies, or no right to write them."""
    try:
        yield
    except (OSError, StorageError) as cause:
        fault = storage_fault(cause.__cause__ or cause)
        if fault is None:
            raise
        hint = "make room there, or set patches.cache_dir to another folder, or to null"
        raise StorageError(path, "patches.cache_dir", found=f"{fault[0]}, while copying", hint=hint) from cause


def bank_folder(run: Path, config: PatchConfig, data: Inputs) -> Path:
    """Return where the bank of some patches is, or would be; `data` as of `patches.images_of`."""
    size = [config.size_px, config.border_px, config.um_per_px]
    return run / f"patches/{digest(data.of_kinds(LINKS, *IMAGES).key, size)}"


def is_whole(folder: Path) -> bool:
    """Return whether a bank is finished."""
    return (folder / INDEX).is_file()


def bank_bytes(pool: PatchPool, config: PatchConfig, n_channels: int) -> int:
    """Return how much a bank takes."""
    return len(pool) * n_channels * (config.size_px + 2 * config.border_px) ** 2
