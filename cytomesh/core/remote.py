"""Files on web servers and object stores, as paths that are read like those of a disk (fsspec does the talking)."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PosixPath
from typing import IO, Any

from cytomesh.core.errors import AddressError, CytomeshError
from cytomesh.core.extras import optional

EXTRA = "cytomesh[cloud]"
# What fsspec needs for each kind of address.
PACKAGES = {"https": "aiohttp", "http": "aiohttp", "s3": "s3fs", "gs": "gcsfs"}
WEB = ("http", "https")
# Headers of images are many reads of a few bytes: of what is smaller, whole blocks are asked for, and some are kept.
BLOCK_BYTES, N_BLOCKS = 2**18, 64
FOLDER_SUFFIX = ".zarr"
GROUP_DOCUMENTS = ("zarr.json", ".zattrs")
# What stores call the state of an object, and the time when it was written.
TAGS = ("ETag", "etag", "md5Hash", "Content-MD5")
TIMES = ("LastModified", "Last-Modified", "mtime", "updated")
CUT_OFF = {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError"}
# Packages behind fsspec: what they raise beside these is of the server, and not of a disk to which files are copied.
CLIENTS = {"aiohttp", "botocore", "gcsfs"}
UNREACHED = {"ClientConnectionError", "ConnectionError", "TimeoutError", "EndpointConnectionError", "HTTPClientError"}


class RemotePath(PosixPath):
    """An address (`https://`, `s3://`, `gs://`) as a path: names, parents and `/` as of any other, and it can be read.

    `stat` asks for it each time: nothing of what was there before is remembered. Its inode is a digest of the state
    that the store names (ETag). What can be listed (s3, gs) may have folders of any name; what lies on web servers is
    a folder if its name ends with `.zarr`. Endpoints and credentials are those of the environment, as fsspec, AWS and
    Google have them (`AWS_PROFILE`, `AWS_ENDPOINT_URL`, `FSSPEC_S3_ANON=true`, `GOOGLE_APPLICATION_CREDENTIALS`).
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":/")
        return f"{scheme}://{rest}"

    def __fspath__(self) -> str:
        return str(self)

    @property
    def scheme(self) -> str:
        """What the address begins with."""
        return str(self).partition(":")[0]

    @property
    def filesystem(self) -> Any:
        """What asks the server; one for all addresses of a kind.

        Raises
        ------
        PackageError
            If the package for this kind of addresses is not installed.
        """
        optional(PACKAGES[self.scheme], EXTRA)
        return optional("fsspec.core", EXTRA).url_to_fs(str(self), use_listings_cache=False)[0]

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        """Ask for size, time and state.

        Raises
        ------
        FileNotFoundError
            If nothing is there.
        AddressError
            If the server refuses, or does not answer.
        """
        is_web_folder = self.scheme in WEB and self.name.endswith(FOLDER_SUFFIX)
        facts = self._group_document() if is_web_folder else self.asked(self.filesystem.info, str(self))
        is_folder = is_web_folder or facts.get("type") == "directory"
        mode = stat.S_IFDIR if is_folder else stat.S_IFREG
        seconds, inode = _seconds(facts), int.from_bytes(hashlib.sha256(_tag(facts).encode()).digest()[:8])
        size = 0 if is_folder else int(facts.get("size") or 0)
        times = {f"st_{kind}time_ns": round(seconds * 1e9) for kind in "amc"}
        return os.stat_result((mode, inode, 0, 1, 0, 0, size, *(int(seconds),) * 3), times)

    def exists(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Return whether something is there; raises as `stat` does."""
        return self._mode() != 0

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Return whether there is a folder; raises as `stat` does."""
        return stat.S_ISDIR(self._mode())

    def is_file(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Return whether there is a file; raises as `stat` does."""
        return stat.S_ISREG(self._mode())

    def open(self, mode: str = "r", *_: object, encoding: str | None = None, **__: object) -> IO[Any]:  # type: ignore[override]
        """Open the file for reading; what is read of it is asked for then."""
        if set(mode) - set("rbt"):
            raise OSError(errno.EROFS, "addresses are read only", str(self))
        stream = io.BufferedReader(RemoteFile(self))
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding=encoding)

    def listing(self) -> dict[str, dict[str, Any]] | None:
        """Return what the store says of each file below, by its path from here; None of web servers, which cannot."""
        if self.scheme in WEB:
            return None
        found: dict[str, dict[str, Any]] = self.asked(self.filesystem.find, str(self), detail=True)
        root = str(self).partition("://")[2] + "/"
        return {name.removeprefix(root): facts for name, facts in found.items()}

    def identity(self) -> object:
        """Return what changes when the file, or one below the folder, is written: its state, or its time, and size.

        Of a folder on a web server only that of the group's metadata is known: who replaces an image writes it anew.
        """
        if self.scheme not in WEB and self.is_dir():
            return {name: _state(facts) for name, facts in sorted((self.listing() or {}).items())}
        if self.name.endswith(FOLDER_SUFFIX) and self.scheme in WEB:
            return _state(self._group_document())
        return _state(self.asked(self.filesystem.info, str(self)))

    def asked(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return what a call to the file system does; what it raises is explained."""
        with self.explained():
            return call(*arguments, **options)

    @contextmanager
    def explained(self, doing: str = "read") -> Iterator[None]:
        """Turn what fsspec and the packages behind it raise into `FileNotFoundError` or one error with a way out.

        `doing` says what the server does not allow where it refuses: that the file is read, or "written".
        """
        try:
            yield
        except CytomeshError:
            raise
        except Exception as cause:
            problem = _problem(self, cause, doing)
            if problem is None:
                raise
            raise problem from cause

    def cut_off(self, n_bytes: int, expected: int) -> AddressError:
        """Return the error of an answer that is shorter, or longer, than what was asked for."""
        found, hint = f"an answer of {n_bytes:,} bytes", "try again; if it stays so, put the file there again"
        if n_bytes > expected:
            found, hint = f"{found}, more than was asked for", "use a server that answers ranges of bytes (HTTP 206)"
        return AddressError(self, found=found, expected=f"{expected:,} bytes", hint=hint)

    def _mode(self) -> int:
        try:
            return self.stat().st_mode
        except FileNotFoundError:
            return 0

    def _group_document(self) -> dict[str, Any]:
        for name in GROUP_DOCUMENTS:
            try:
                facts: dict[str, Any] = self.asked(self.filesystem.info, str(self / name))
            except FileNotFoundError:
                continue
            return facts
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))


class RemoteFile(io.RawIOBase):
    """A file at an address, read in blocks; an answer that is cut off is an error, never an early end."""

    def __init__(self, path: RemotePath) -> None:
        self._path, self._size, self._at = path, path.stat().st_size, 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._reading = threading.Lock()

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the place of the next byte."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the file goes."""
        n = max(0, min(len(buffer), self._size - self._at))
        if n:
            buffer[:n] = self.read_at(self._at, n)
            self._at += n
        return n

    def read_at(self, start: int, n: int) -> bytes:
        """Read bytes, whatever the place of the next one is; several threads may do so at once.

        Raises
        ------
        EOFError
            If the file ends before.
        """
        stop = start + n
        if stop > self._size:
            raise EOFError(f"bytes {start} to {stop} of {self._size}")
        if n >= BLOCK_BYTES:
            return self._ask(start, stop)
        first, last = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        blocks = b"".join(map(self._block, range(first, last)))
        return blocks[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def _block(self, index: int) -> bytes:
        with self._reading:
            if index not in self._blocks:
                self._blocks[index] = self._ask(index * BLOCK_BYTES, min((index + 1) * BLOCK_BYTES, self._size))
            self._blocks.move_to_end(index)
            if len(self._blocks) > N_BLOCKS:
                self._blocks.popitem(last=False)
            return self._blocks[index]

    def _ask(self, first: int, last: int) -> bytes:
        path = self._path
        data: bytes = path.asked(path.filesystem.cat_file, str(path), start=first, end=last)
        if len(data) != last - first:
            raise path.cut_off(len(data), last - first)
        return data


def is_address(text: str) -> bool:
    """Return whether a text is an address, and not a path.

    Examples
    --------
    >>> is_address("s3://brains/B01/s001.ome.zarr"), is_address("images/s001.ome.zarr")
    (True, False)
    """
    return text.partition("://")[0] in PACKAGES and "://" in text


def as_path(where: str | Path) -> Path:
    """Return the path of a text, which may be an address."""
    if isinstance(where, Path):
        return where
    return RemotePath(where) if is_address(where) else Path(where)


def _tag(facts: dict[str, Any]) -> str:
    return next((str(facts[name]) for name in TAGS if facts.get(name)), "")


def _seconds(facts: dict[str, Any]) -> float:
    """Return when something was written, s since 1970; 0 if a server does not say."""
    value = next((facts[name] for name in TIMES if facts.get(name)), 0.0)
    if isinstance(value, str):
        value = parsedate_to_datetime(value) if "," in value else datetime.fromisoformat(value)
    return value.timestamp() if isinstance(value, datetime) else float(value)


def _state(facts: dict[str, Any]) -> list[Any]:
    return [facts.get("size"), _tag(facts) or _seconds(facts)]


def _problem(path: RemotePath, cause: BaseException, doing: str) -> Exception | None:
    """Return what an exception, or one that it came from, says of an address; None if it says nothing of one."""
    chain: list[BaseException] = [cause]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    # of aiohttp, and of gcsfs
    statuses = [item.status if hasattr(item, "status") else getattr(item, "code", None) for item in chain]
    status = next((value for value in statuses if isinstance(value, int)), None)
    kinds = {kind.__name__ for item in chain for kind in type(item).__mro__}
    if status in (401, 403) or kinds & {"PermissionError", "NoCredentialsError"}:
        refusal = "no credentials" if "NoCredentialsError" in kinds else f"an answer of {status or 403}"
        found, expected = f"{refusal}: it may not be {doing}", f"an address that may be {doing}"
        hint = {
            "s3": "give credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID ...), or FSSPEC_S3_ANON=true for what is public; "
            "without the right to list, S3 says the same of what is not there",
            "gs": "give credentials (gcloud auth application-default login), or FSSPEC_GS_TOKEN=anon for public ones",
        }.get(path.scheme, "ask who runs the server, or copy the image")
        return AddressError(path, found=found, expected=expected, hint=hint)
    if CUT_OFF & kinds:
        return AddressError(path, found="an answer that was cut off", hint="try again; is the network reliable?")
    if UNREACHED & kinds:
        hint = "correct the address, or look whether the server runs and is reached from here"
        return AddressError(path, found=f"no answer ({type(chain[-1]).__name__}: {chain[-1]})", hint=hint)
    if status == 416:  # range not satisfiable
        hint = "put it there again"
        return AddressError(path, found="a file that is shorter than was asked for", expected="a whole one", hint=hint)
    if status not in (None, 404):
        return AddressError(path, found=f"an answer of {status}", hint="try again later, or ask who runs the server")
    if status == 404 or "FileNotFoundError" in kinds:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if CLIENTS & {type(item).__module__.partition(".")[0] for item in chain}:
        found = f"an answer that is an error ({type(cause).__name__}: {cause})"
        return AddressError(path, found=found, hint="try again later, or ask who runs the store")
    return None
