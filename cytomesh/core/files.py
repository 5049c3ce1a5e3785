"""Files appear whole or not at all: temporary name, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, DamagedError, MissingStageError, StorageError
from cytomesh.core.reading import reading, regular_size, way_back

PARTIAL, OLD = ".partial-", ".old-"
FREE = "make room on the disk, or write to another, and call the same command again: what is finished is kept"
RIGHTS = "give yourself the right to write there, or choose another folder"
FAULTS = {
    errno.ENOSPC: FREE,
    errno.EDQUOT: FREE,
    errno.EFBIG: FREE,
    errno.EACCES: RIGHTS,
    errno.EPERM: RIGHTS,
    errno.EROFS: RIGHTS,
    errno.ENOTDIR: "choose a folder that is not below a file",
    errno.EEXIST: "remove what lies there, or choose another folder",
    errno.EISDIR: "remove what lies there, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter folder or name",
    errno.EIO: "check the disk, or write to another, and call the same command again",
}
"""What a place can have against being written to, and the way out."""
FULL_WORDS = ("No space left on device", " requested and ", "unexpected pos ")
"""Of the error itself, of NumPy, of torch.save."""
NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF}
"""What shares (CIFS, VirtualBox, FUSE) answer that cannot sync a folder; some cannot sync files either."""
MAX_JSON_BYTES = 2**29


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced to disk and takes its name.

    Works for files and for directories (an OME-Zarr image is a directory). Suffixes are kept, since several
    writers choose the format by them. On any exception the temporary is removed and `path` stays as it was.

    Raises
    ------
    StorageError
        If the disk is full, may not be written to, or fails.
    """
    temporary = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        yield temporary
        _share(temporary)
        _sync(temporary)
        if path.is_dir() and not path.is_symlink():
            replace_folder(temporary, path)
        else:
            temporary.replace(path)
            _sync(path.parent)
    except Exception as error:
        if fault := storage_fault(error):
            raise StorageError(path, found=f"{fault[0]}, while writing", hint=fault[1]) from error
        raise
    finally:
        with suppress(OSError):  # where nothing can be written, there is nothing to remove
            remove(temporary)


def storage_fault(error: BaseException) -> tuple[str, str] | None:
    """Say what is wrong with the place that an error came from, and the way out; None if it is about something else.

    NumPy and the writers of Rust libraries say it in words only.
    """
    if isinstance(error, CytomeshError):
        return None
    number = getattr(error, "errno", None)
    text = str(error)
    if number is None and any(words in text for words in FULL_WORDS):
        number = errno.ENOSPC
    if number not in FAULTS:
        return None
    return os.strerror(number).lower(), FAULTS[number]


def replace_folder(new: Path, folder: Path) -> None:
    """Let a folder take the place of another, which is removed; `settle_folder` mends what a kill in between leaves."""
    old = folder.with_name(f"{OLD}{folder.name}")
    remove(old)
    if folder.exists():
        folder.replace(old)  # rename cannot replace a directory that is not empty
    new.replace(folder)
    _sync(folder.parent)
    remove(old)


def settle_folder(folder: Path) -> None:
    """Undo a replacement that was killed halfway: the old folder is back, or gone if the new one is in place."""
    old = folder.with_name(f"{OLD}{folder.name}")
    if old.exists() and not folder.exists():
        old.replace(folder)
    remove(old)


def clear_orphans(folder: Path) -> None:
    """Remove half-written files of a folder, not below, whose processes are gone: others may be writing there."""
    for path in folder.glob(f"{PARTIAL}*"):
        number = path.name.removeprefix(PARTIAL).partition("-")[0]
        if number.isdigit() and not _is_alive(int(number)):
            remove(path)


def clear_partial(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder and below; nobody may be writing there."""
    for path in list(folder.rglob(f"{PARTIAL}*")):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def relative_place(path: Path, folder: Path) -> str:
    """Return a path as a file in a folder names it: relative, or whole where it lies more than two folders up."""
    relative = os.path.relpath(path, folder)
    return Path(relative).as_posix() if relative.count("..") <= 2 else str(path.resolve())


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write JSON with sorted keys; NumPy scalars and arrays become numbers and lists, NaN becomes null."""
    write_text(path, json.dumps(_plain(data), indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path, error: type[CytomeshError] = DamagedError) -> Any:
    """Read a JSON file of a run.

    Raises
    ------
    MissingStageError
        If there is no such file.
    CytomeshError
        Of the kind `error`: if it is none, larger than `MAX_JSON_BYTES`, or no JSON.
    """
    if not path.exists() and not path.is_symlink():
        raise MissingStageError(path, found="no such file", hint=way_back(path))
    with reading(path, error, expected="JSON"):
        regular_size(path, MAX_JSON_BYTES)
        return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path, error: type[CytomeshError] = DamagedError) -> dict[str, Any]:
    """Read a JSON file of a run that holds an object (names and values).

    Raises
    ------
    MissingStageError, CytomeshError
        As `read_json`; and if it holds a list or a single value.
    """
    record = read_json(path, error)
    if not isinstance(record, dict):
        found = f"a JSON {type(record).__name__}"
        raise error(path, found=found, expected="an object", hint=way_back(path))
    return record


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy`, never with pickle."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def open_npy(path: Path) -> NDArray[Any]:
    """Map a `.npy` file, never with pickle.

    Raises
    ------
    OSError, ValueError, EOFError, OverflowError
        If it is no such file, damaged, or shorter than it says.
    """
    with path.open("rb") as stream:
        if stream.read(6) != b"\x93NUMPY":
            raise ValueError("no array (.npy)")
        if stream.read(2)[:1] != b"\x01":  # headers of several gigabytes
            raise ValueError("a version of .npy that is never written")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def new_npy(path: Path, shape: tuple[int, ...], dtype: Any) -> np.memmap[Any, Any]:
    """Return a new `.npy`, mapped into memory, whose space on the disk is taken: else the system kills who fills it."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
    return array


def digest(*parts: Any) -> str:
    """Return a short SHA-256 over arrays and JSON-like values, the key by which finished pieces are recognised."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(f"{part.dtype}{part.shape}".encode())
            sha.update(np.ascontiguousarray(part).tobytes())
        else:
            sha.update(json.dumps(_plain(part), sort_keys=True).encode())
    return sha.hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _share(path: Path) -> None:
    """Give a file the rights that new ones have here: safetensors writes for the owner alone."""
    if path.is_file() and not path.stat().st_mode & 0o077:
        usual = path.with_name(f"{path.name}.rights")
        usual.touch()
        path.chmod(usual.stat().st_mode)
        usual.unlink()


def _sync(path: Path) -> None:
    targets = [path, *path.rglob("*")] if path.is_dir() and path.name.startswith(PARTIAL) else [path]
    for target in targets:
        try:
            descriptor = os.open(target, os.O_RDONLY)
        except OSError as error:
            if error.errno in NO_SYNC:
                continue
            raise
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise
        finally:
            os.close(descriptor)
