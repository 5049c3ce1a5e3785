"""A bank: all patches of a pool extracted once, a file per section, read as memory maps or at an address."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import StorageError
from cytomesh.core.files import atomic_path, digest, open_npy, remove, storage_fault
from cytomesh.core.object_store import fetch
from cytomesh.core.provenance import Inputs
from cytomesh.core.reading import reading
from cytomesh.core.remote import RemotePath, as_path
from cytomesh.core.run import lock
from cytomesh.graph.provenance import IMAGES, LINKS
from cytomesh.pretrain.bank_index import INDEX, BankIndex, SectionFile, read_index
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.patches import BySection
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.remote_bank import RemoteBank


def open_bank(folder: Path, pool: PatchPool, cache: Path | None = None) -> BySection:
    """Open the patches of a bank.

    Parameters
    ----------
    folder : Path
        That of the run with its `bank.json`; the files of its sections lie beside it, or at the address that it names.
    pool : PatchPool
        The one that it was made from.
    cache : Path or None
        Folder on a disk of this machine: a section's file is copied there when it is first read, and read there.

    Raises
    ------
    DamagedError
        If the bank is not one, or not of this pool.
    """
    index = read_index(folder, pool)
    if cache is None and isinstance(index.home, RemotePath):
        return RemoteBank(index, index.home, pool)
    return PatchBank(index, pool, None if cache is None else _clean_cache(cache, folder))


class PatchBank(BySection):
    """Patches in files of a disk, mapped into memory.

    Parameters
    ----------
    index : BankIndex
    pool : PatchPool
        The one that it was made from.
    cache : Path or None
        Folder for copies of its files.
    """

    def __init__(self, index: BankIndex, pool: PatchPool, cache: Path | None) -> None:
        super().__init__(pool)
        self._index = index
        self._cache = cache
        self._maps: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def _all_of(self, wanted: Sequence[tuple[int, NDArray[np.int64]]]) -> list[NDArray[np.uint8]]:
        with self._lock:
            for number, _ in wanted:
                if number not in self._maps:
                    self._maps[number] = self._open(self._index.sections[number])
        return [self._maps[number][places] for number, places in wanted]

    def _open(self, section: SectionFile) -> NDArray[np.uint8]:
        path = self._index.home / section.file if self._cache is None else self._copy(self._cache, section)
        with self._reading(path, section):
            _check_size(path, section)
            patches = open_npy(path)
            if patches.shape != (section.patches, *self._index.shape) or patches.dtype != np.uint8:
                raise ValueError(f"an array of {patches.shape} {patches.dtype}")
        return patches

    def _copy(self, cache: Path, section: SectionFile) -> Path:
        """Return the copy of a section's file on this machine, which the first process to need it makes for all."""
        original, copy = self._index.home / section.file, cache / section.file
        with _writing(copy), lock(cache, copy.name, wait=True):
            if not copy.is_file() or copy.stat().st_size != section.bytes:
                with self._reading(original, section), atomic_path(copy) as temporary:
                    _check_size(original, section)
                    fetch(original, temporary)
                    _check_size(temporary, section)
                    if section.sha256 not in ("", sha256(temporary)):
                        raise ValueError("another content than the index says")
        return copy

    def _reading(self, path: Path, section: SectionFile) -> AbstractContextManager[None]:
        return reading(path, expected=f"{section.bytes:,} bytes, as {INDEX} says", hint=self._index.hint)


def sha256(path: Path) -> str:
    """Return the digest of a whole file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_size(path: Path, section: SectionFile) -> None:
    size = path.stat().st_size
    if size != section.bytes:
        raise ValueError(f"{size:,} bytes")


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


def bank_home(folder: Path, config: PatchConfig) -> Path:
    """Return where the files of a bank are wanted: in its folder, or in one of that name at `bank_address`."""
    return folder if config.bank_address is None else as_path(config.bank_address) / folder.name


def bank_bytes(pool: PatchPool, config: PatchConfig, n_channels: int) -> int:
    """Return how much a bank takes."""
    return len(pool) * n_channels * (config.size_px + 2 * config.border_px) ** 2
