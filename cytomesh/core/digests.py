"""What a file holds, as a short digest, remembered for as long as the file stays the same file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from cytomesh.core.errors import StorageError
from cytomesh.core.files import digest, read_json, write_json
from cytomesh.core.parallel import available_cpus
from cytomesh.core.reading import regular_size
from cytomesh.core.remote import RemotePath

LARGE_BYTES = 2**28
"""Files and folders above this are known by size, time and samples: reading terabytes twice helps nobody."""
SAMPLES, SAMPLE_BYTES = 64, 2**20
SETTLED_S = 2.0
"""A file that changed less than this ago may change again within one tick of its clock: it is not remembered."""
DIGESTS = ".digests.json"
"""Of a run: what it remembers of files."""


class FileDigests:
    """Content digests of files and folders (OME-Zarr images), remembered by size, times and inode.

    A file is known by its content, so that moving or copying a study changes nothing; one above `LARGE_BYTES` by its
    size, modification time and evenly spaced samples of its content (a copy must keep its time, as `cp -p`,
    `rsync -t` and archives do); one at an address by what the server says of it (`RemotePath.identity`). Tensors of
    safetensors files are digested without the file's metadata, whose order is random.

    Parameters
    ----------
    store : Path, optional
        JSON file to remember in; only for this process without one.
    writes : bool
        Whether to remember there what is new, too.
    """

    def __init__(self, store: Path | None = None, *, writes: bool = True) -> None:
        self._store = store if writes else None
        self._known: dict[str, dict[str, Any]] = _read_store(store)
        self._has_news = False

    def digest(self, path: Path) -> str:
        """Return what identifies the content of a file or folder; "absent" or "unreadable" where that is so."""
        return str(self.remember(path, "content", content_digest))

    def digest_all(self, paths: Iterable[Path]) -> list[str]:
        """Return the digests of many files; those that are not remembered are read by several threads."""
        paths = list(paths)
        with ThreadPoolExecutor(available_cpus()) as threads:
            known = list(threads.map(partial(self.recall, what="content"), paths))
            read = threads.map(self.digest, [path for path, value in zip(paths, known, strict=True) if value is None])
            return [next(read) if value is None else str(value) for value in known]

    def remember(self, path: Path, what: str, compute: Callable[[Path], Any]) -> Any:
        """Return a fact of a file's content, a JSON value; computed again only where the file has changed."""
        value = self.recall(path, what)
        if value is not None:
            return value
        try:
            if not isinstance(path, RemotePath) and not path.is_dir():
                regular_size(path)  # a pipe would be waited for
            signature, newest = _signature(path)
            value = compute(path)
        except FileNotFoundError:
            return "absent"
        except OSError:
            return "unreadable"
        if time.time() - newest > SETTLED_S:
            before = self._known.get(str(path), {})
            facts = before if before.get("signature") == signature else {"signature": signature}
            self._known[str(path)] = {**facts, what: value}
            self._has_news = True
        return value

    def recall(self, path: Path, what: str) -> Any:
        """Return what is remembered of a file that is still the same; None if nothing is."""
        entry = self._known.get(str(path))
        if entry is None or what not in entry:
            return None
        try:
            return entry[what] if entry["signature"] == _signature(path)[0] else None
        except OSError:
            return None

    def save(self) -> None:
        """Write what is new to the store; where that cannot be written, it costs time only."""
        if self._store is not None and self._has_news:
            with suppress(StorageError):
                write_json(self._store, self._known)
            self._has_news = False


@contextmanager
def file_digests(run: Path) -> Iterator[FileDigests]:
    """Open the digests that a run remembers."""
    digests = FileDigests(run / DIGESTS)
    try:
        yield digests
    finally:
        if run.is_dir():
            digests.save()


def content_digest(path: Path) -> str:
    """Digest a file or folder by its content, a large one by size, time and samples, one at an address by its state.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if isinstance(path, RemotePath):
        return digest(path.identity())
    if path.is_dir():
        files = [file for file in _files(path) if file.is_file()]
        is_large = sum(file.stat().st_size for file in files) > LARGE_BYTES
        facts = _stamp if is_large else content_digest
        return digest({file.relative_to(path).as_posix(): facts(file) for file in files})
    size = regular_size(path)
    if path.suffix == ".safetensors" and (found := _tensor_digest(path)):
        return found
    with path.open("rb") as stream:
        if size <= LARGE_BYTES:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        sha = hashlib.sha256(str(_stamp(path)).encode())
        for sample in range(SAMPLES):
            stream.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
            sha.update(stream.read(SAMPLE_BYTES))
        return sha.hexdigest()[:16]


def _tensor_digest(path: Path) -> str | None:
    """Digest names, types, shapes and values of a safetensors file; None if it is damaged."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        try:
            size = int.from_bytes(stream.read(8), "little")
            tensors: dict[str, Any] = json.loads(stream.read(size)) if size < path.stat().st_size else {}
            for name in sorted(tensors.keys() - {"__metadata__"}):
                first, last = tensors[name]["data_offsets"]
                sha.update(json.dumps([name, tensors[name]["dtype"], tensors[name]["shape"]]).encode())
                stream.seek(8 + size + first)
                sha.update(stream.read(last - first))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    return sha.hexdigest()[:16] if tensors else None


def _signature(path: Path) -> tuple[str | list[int], float]:
    """Return what changes when a file is written, and when that was last, s; of a folder: of all files in it."""
    if isinstance(path, RemotePath):
        return digest(path.identity()), path.stat().st_mtime
    if path.is_dir():
        files = {file.relative_to(path).as_posix(): file.stat() for file in _files(path)}
        stamps = {name: _numbers(status) for name, status in files.items()}
        return digest(stamps), max((status.st_mtime for status in files.values()), default=0.0)
    status = path.stat()
    return _numbers(status), status.st_mtime


def _numbers(status: os.stat_result) -> list[int]:
    # the time of change, too: it tells where a program sets the modification time back
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder, in linked folders too; a link back to where one came from is not followed."""
    found, seen = [], set()
    for place, below, names in os.walk(folder, followlinks=True):
        status = os.stat(place)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        found += [Path(place, name) for name in names]
    return sorted(found)


def _read_store(store: Path | None) -> dict[str, dict[str, Any]]:
    if store is None or not store.is_file():
        return {}
    try:
        known = read_json(store)
        return {path: entry for path, entry in known.items() if "signature" in entry}
    except (ValueError, OSError, AttributeError, TypeError):
        return {}  # it only saves time
