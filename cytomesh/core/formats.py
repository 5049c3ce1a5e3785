"""Versions of stored formats: older ones stay readable, newer ones are refused with one clear error."""

from __future__ import annotations

import os
from typing import Literal

from cytomesh.core.errors import FormatError

Format = Literal["table", "graph", "features", "encoder", "classifier", "checkpoint"]

FORMATS: dict[Format, int] = {
    "table": 1,
    "graph": 1,
    "features": 1,
    "encoder": 1,
    "classifier": 1,
    "checkpoint": 1,
}
"""The version of each format that this program writes.

Raised when the program before would misread what is written now, not for keys that it may leave out. Readers then tell
versions apart by what `check_format` returns, and `tests/data` keeps files of the new version. Files that were written
before there were versions carry none: version 0, of which only the encoder's differs (see `pretrain.record`).
"""


def check_format(source: str | os.PathLike[str], kind: Format, found: object) -> int:
    """Return the version of a stored file.

    Parameters
    ----------
    source : str or path
        The file, for the error.
    kind : str
        What it is.
    found : object
        The version it carries, a number or its text; None without one.

    Raises
    ------
    FormatError
        If the version is newer than this program knows, or not a version.
    """
    newest = FORMATS[kind]
    text = "0" if found is None else str(found)
    if text.isascii() and text.isdigit() and int(text) <= newest:
        return int(text)
    hint = "upgrade cytomesh, or write the file again with this version of it"
    raise FormatError(source, found=f"{kind} format {text}", expected=f"format {newest} or older", hint=hint)
