"""Files that are put into object stores, fetched from there, and ranges of many that are asked for at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from cytomesh.core.errors import AddressError, StorageError
from cytomesh.core.files import PARTIAL, atomic_path, remove
from cytomesh.core.remote import WEB, RemotePath

# What is asked for at once where a store takes one question a file.
AT_ONCE = 16


@contextmanager
def new_file(path: Path, scratch: Path) -> Iterator[Path]:
    """Yield a temporary path on a disk; on success it takes the name of `path`, or is put there if that is an address.

    Parameters
    ----------
    path : Path
        Appears whole or not at all.
    scratch : Path
        Folder on a disk, where what goes to an address is written first.

    Raises
    ------
    StorageError
        If the disk or the store does not take it.
    """
    if not isinstance(path, RemotePath):
        with atomic_path(path) as temporary:
            yield temporary
        return
    # named as what is half-written: a kill before it is put leaves it to be cleared
    whole = scratch / f"{PARTIAL}{os.getpid()}-put-{path.name}"
    try:
        with atomic_path(whole) as temporary:
            yield temporary
        put(whole, path)
    finally:
        with suppress(OSError):
            remove(whole)


def put(file: Path, target: RemotePath) -> None:
    """Put a file into an object store, which shows it whole or not at all.

    Raises
    ------
    StorageError
        If the store does not take it, or has another size of it.
    """
    refuse_web(target)
    size = file.stat().st_size
    with _storing(target):
        target.filesystem.put_file(str(file), str(target))
    stored = target.stat().st_size
    if stored != size:
        found, hint = f"{stored:,} bytes, after writing", "call the same command again"
        raise StorageError(target, found=found, expected=f"{size:,} bytes", hint=hint)


@contextmanager
def _storing(target: RemotePath) -> Iterator[None]:
    try:
        with target.explained("written"):
            yield
    except FileNotFoundError as cause:
        hint = "make it, or correct the address"
        raise StorageError(target, found="no such bucket, while writing", hint=hint) from cause
    except AddressError as cause:
        raise StorageError(target, found=cause.found, expected=cause.expected, hint=cause.hint) from cause


def refuse_web(target: RemotePath) -> None:
    """Refuse to write to a web server.

    Raises
    ------
    StorageError
    """
    if target.scheme in WEB:
        hint = "write to the object store, or copy a finished folder to the web server"
        found = "the address of a web server, which is read only"
        raise StorageError(target, found=found, expected="s3:// or gs://", hint=hint)


def fetch(source: Path, target: Path) -> None:
    """Copy a file to a disk, from another folder or an address.

    Raises
    ------
    FileNotFoundError, AddressError, OSError
    """
    if isinstance(source, RemotePath):
        source.asked(source.filesystem.get_file, str(source), str(target))
    else:
        shutil.copyfile(source, target)


def copy(source: Path, target: Path, scratch: Path) -> None:
    """Let a file that is never written to again be at another place, too: linked, copied by the store, or through here.

    Parameters
    ----------
    source, target : Path
        Each on a disk or at an address.
    scratch : Path
        As in `new_file`.

    Raises
    ------
    StorageError, FileNotFoundError, AddressError, OSError
    """
    if isinstance(source, RemotePath) and isinstance(target, RemotePath) and source.scheme == target.scheme:
        with _storing(target):
            target.filesystem.cp_file(str(source), str(target))
        return
    with new_file(target, scratch) as temporary:
        if isinstance(source, RemotePath) or not _is_linked(source, temporary):
            fetch(source, temporary)


def _is_linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # not on every file system
        return False
    return True


def sizes(paths: Sequence[RemotePath]) -> list[int | None]:
    """Return the sizes of files, bytes, None of what is not there; several are asked for at once.

    Raises
    ------
    AddressError
    """

    def size(path: RemotePath) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    with ThreadPoolExecutor(min(AT_ONCE, len(paths))) as threads:
        return list(threads.map(size, paths))


def read_ranges(wanted: Sequence[tuple[RemotePath, int, int]]) -> list[bytes]:
    """Read ranges of bytes, from the first to before the last, of files of one store, all asked for at once.

    Raises
    ------
    AddressError
        Also if a file is gone, or an answer cut off.
    """
    paths, starts, stops = map(list, zip(*((str(path), start, stop) for path, start, stop in wanted), strict=True))
    first = wanted[0][0]
    answers = first.asked(first.filesystem.cat_ranges, paths, starts, stops, on_error="return")
    for (path, start, stop), answer in zip(wanted, answers, strict=True):
        if isinstance(answer, BaseException):
            try:
                with path.explained():
                    raise answer
            except FileNotFoundError as cause:
                raise AddressError(path, found="no such file", hint="put it there again") from cause
        if len(answer) != stop - start:
            raise path.cut_off(len(answer), stop - start)
    return list(answers)
