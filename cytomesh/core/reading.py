"""Files that may be anything: looked at before they are opened, and one error that names them if they are damaged."""

from __future__ import annotations

import errno
import os
import pickle
import stat
import struct
import tokenize
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import BadZipFile

from cytomesh.core.errors import CytomeshError, DamagedError

# What decoders of other packages raise on damaged input, beside errors of their own.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,  # json, Unicode, NumPy, Arrow
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,  # torch, recursion
    MemoryError,
    SyntaxError,  # headers of .npy
    tokenize.TokenError,
    struct.error,
    zlib.error,
    BadZipFile,
    pickle.UnpicklingError,
)
MAX_HEAD_BYTES = 2**26
# What writes the results of each stage, by their folder in a run, and the option that names one; of features, those
# of encoders are written by one command, and profiles by another.
COMMANDS = {
    "graphs": ("build-graph STUDY.yaml", ""),
    "register": ("register", "--name"),
    "patches": ("pretrain", ""),
    "encoders": ("pretrain", "--name"),
    "features": ("embed", "--encoder"),
    "profiles": ("profiles", "--name"),
    "classify": ("classify", "--name"),
    "parcellate": ("parcellate", "--name"),
}
IMPORT = "graph import SURFACES.yaml"
IMPORTED = "imported file"
"""What records of imported graphs call what they were made from."""
PROFILES = "staining profiles"
"""What records of features that no encoder made call them."""
MAX_RECORD_BYTES = 2**26


def regular_size(path: Path, limit: int | None = None) -> int:
    """Return the size of a file, looked up before it is opened: a pipe would be waited for, a device has no end.

    Raises
    ------
    OSError
        If there is no such file, or it is none: a folder, pipe, device, loop of links, an impossible name; or if it is
        larger than `limit` bytes.
    """
    try:
        status = path.stat()
    except ValueError as cause:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, str(cause), os.fspath(path)) from cause
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path}: a pipe, socket or device")
    if limit is not None and status.st_size > limit:
        raise OSError(f"{path}: {status.st_size / 2**20:,.0f} MiB, at most {limit / 2**20:,.0f} MiB are read")
    return status.st_size


@contextmanager
def reading(
    path: Path,
    error: type[CytomeshError] = DamagedError,
    *,
    found: str = "a file that cannot be read",
    expected: str = "",
    hint: str = "",
    also: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn what is raised while a file is read into one error that names it and, for files of a run, what writes it.

    Errors of cytomesh pass; those that do not name a file get the name of this one.

    Parameters
    ----------
    path : Path
        Must be a regular file.
    error : subclass of CytomeshError
        What is raised.
    found, expected, hint : str
        What is said; without a hint, the command that makes the file anew (see `way_back`).
    also : tuple of Exception types
        Further ones than `DAMAGE`.
    """
    try:
        regular_size(path)
        yield
    except CytomeshError as cause:
        if os.sep in cause.source:
            raise
        raise cause.within(path, error, hint or way_back(path)) from cause
    except Exception as cause:
        if not isinstance(cause, (*DAMAGE, *also)):
            raise
        why = why_not(cause, path)
        raise error(path, found=f"{found} ({why})", expected=expected, hint=hint or way_back(path)) from cause


def why_not(cause: BaseException, path: Path) -> str:
    """Return the kind and the text of what a decoder raised, without the path: the error around it names that."""
    text = str(cause)
    for name in (f"<_io.BufferedReader name={str(path)!r}>", repr(str(path)), f'"{path}"', str(path)):
        text = text.replace(name, "")
    text = " ".join(text.split())[:200].strip(" :")
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def gunzip(data: bytes, limit: int) -> bytes:
    """Unpack what gzip has packed, of at most `limit` bytes.

    Raises
    ------
    zlib.error, EOFError, ValueError
        If it is damaged, ends early, or is larger.
    """
    stream = zlib.decompressobj(wbits=31)
    unpacked = stream.decompress(data, limit + 1)
    if len(unpacked) > limit:
        raise ValueError(f"gzip data of more than {limit:,} bytes, unpacked")
    if not stream.eof:
        raise EOFError("gzip data that end early")
    return unpacked


def refuse_no_safetensors(path: Path) -> None:
    """Look at how long the head of a safetensors file says it is: the library maps the whole file first.

    Raises
    ------
    OSError, ValueError
        If it is no file, or cannot be one of this format.
    """
    size = regular_size(path)
    with path.open("rb") as stream:
        head = int.from_bytes(stream.read(8), "little")
    if not 2 <= head <= min(MAX_HEAD_BYTES, size - 8):
        raise ValueError(f"a head of {head:,} bytes in a file of {size:,}: no safetensors, or cut off")


def way_back(path: Path) -> str:
    """Return the way out for a damaged file: the command that makes it anew, if it lies in a run."""
    for i, part in reversed(list(enumerate(path.parts))):
        if part in COMMANDS and 0 < i < len(path.parts) - 1:
            return f"copy it again, or run '{command(Path(*path.parts[:i]), part, path.parts[i + 1])} --no-resume'"
    return "copy it again, or run what wrote it again"


def command(run: Path, stage: str, name: str = "") -> str:
    """Return the command that makes what a run holds of a stage: imported graphs come with their features."""
    if stage in ("graphs", "features") and is_imported(run):
        return f"cytomesh {IMPORT} --out {run}"
    word, option = COMMANDS["profiles" if stage == "features" and _are_profiles(run / stage / name) else stage]
    return f"cytomesh {word} --out {run}" + (f" {option} {name}" if option and name else "")


def _are_profiles(folder: Path) -> bool:
    """Whether a folder of features holds staining profiles, as it says or as its usual name does."""
    for record in folder.glob("*.json"):
        with suppress(OSError):
            regular_size(record, MAX_RECORD_BYTES)
            return PROFILES.encode() in record.read_bytes()
    return folder.name == "profiles"


def is_imported(run: Path) -> bool:
    """Whether a run's graphs are of surfaces from elsewhere, as their records say."""
    for record in run.glob("graphs/*/provenance.json"):
        with suppress(OSError):
            regular_size(record, MAX_RECORD_BYTES)
            if IMPORTED.encode() in record.read_bytes():
                return True
    return False
