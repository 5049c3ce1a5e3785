"""Tab-separated tables as people and programs write them, cell by cell."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cytomesh.core.reading import regular_size
from cytomesh.core.remote import RemotePath, is_address

# A row of the section table takes some hundred bytes.
MAX_BYTES = 2**27


def read_cells(path: Path) -> list[list[str]]:
    """Return the cells of each line of a UTF-8 table; an empty line has none.

    Excel puts cells with commas or quotes in quotes, which are taken off. Lines are read one by one: a quote that is
    not closed spoils its own line, and does not swallow the next ones.

    Raises
    ------
    OSError, UnicodeDecodeError, csv.Error
        If the file cannot be read.
    """
    regular_size(path, MAX_BYTES)
    with path.open(encoding="utf-8-sig") as stream:
        return [next(csv.reader([line.rstrip("\n")], delimiter="\t"), []) for line in stream]


def read_dicts(path: Path, rest: str = "") -> list[dict[str, str]]:
    """Return the lines after the first that are not empty as column -> cell; cells that lack are `rest`.

    Raises
    ------
    OSError, UnicodeDecodeError, csv.Error
        If the file cannot be read, or names a column twice.
    """
    header, *rows = read_cells(path) or [[]]
    if doubles := columns_twice(header):
        raise csv.Error(f"{', '.join(doubles)}: columns given twice")
    return [dict(zip(header, [*cells, *[rest] * len(header)], strict=False)) for cells in rows if cells]


def columns_twice(header: Iterable[str]) -> list[str]:
    """Return the names that a header gives more than once: only one of the columns would be read."""
    names = [cell.strip() for cell in header]
    return [name for name, n in Counter(names).items() if name and n > 1]


def table_text(rows: Iterable[Iterable[str]]) -> str:
    """Return rows of cells as text that `read_cells` reads back; only cells with quotes in them are put in quotes."""

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if '"' in text else text

    return "".join("\t".join(map(cell, row)) + "\n" for row in rows)


def named_file(folder: Path, cell: str) -> Path:
    """Return the file, or address, that a cell means: names with accents may have been written by macOS (NFD)."""
    if is_address(cell):
        return RemotePath(cell)
    if cell.isascii():
        return folder / cell
    forms = [cell, *(unicodedata.normalize(form, cell) for form in ("NFC", "NFD"))]
    return next((folder / form for form in forms if (folder / form).exists()), folder / cell)
