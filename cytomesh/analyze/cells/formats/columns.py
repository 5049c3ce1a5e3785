"""Tables of one row per cell: CSV, TSV, Parquet, INM-1's segments.txt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable, Unit
from cytomesh.core.errors import CellError, nearest
from cytomesh.core.reading import regular_size

MAX_BYTES = 2**33
NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
"""Delimiters; the first that the header has is the one."""
ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
# Names are compared in lower case, after compatibility normalisation, and with u for either sign of micro.
PLACES: Sequence[tuple[str, str, Unit, bool]] = (
    ("column_px", "row_px", "px", False),  # cytomesh
    ("x_px", "y_px", "px", False),
    ("centroid x um", "centroid y um", "um", True),  # QuPath, calibrated
    ("centroid x px", "centroid y px", "px", True),  # QuPath, without a pixel size
    ("x_um", "y_um", "um", False),  # INM-1's desc-cells.tsv
    ("centroid-1", "centroid-0", "px", False),  # scikit-image's tables: celldetection, StarDist
    ("centroid_x", "centroid_y", "px", False),
    ("x", "y", "px", False),  # INM-1's segments.txt
)
"""Columns of x and y, their unit, and whether they count from the corner of the first pixel."""
SIZES: Mapping[str, Sequence[tuple[str, Unit]]] = {
    "area": (
        ("area_um2", "um"),
        ("area um^2", "um"),
        ("cell: area um^2", "um"),
        ("nucleus: area um^2", "um"),
        ("area(micron**2)", "um"),
        ("area_px", "px"),
        ("area px^2", "px"),
        ("area", "px"),
    ),
    "perimeter": (
        ("perimeter_um", "um"),
        ("perimeter um", "um"),
        ("length um", "um"),
        ("cell: perimeter um", "um"),
        ("cell: length um", "um"),
        ("nucleus: perimeter um", "um"),
        ("perimeter_px", "px"),
        ("perimeter px", "px"),
        ("length px", "px"),
        ("perimeter", "px"),
    ),
}
SHAPES = {
    name: (name, f"cell: {name}", f"nucleus: {name}", f"nucleus/cell: {name}")
    for name in ("circularity", "eccentricity")
}
NO_CELLS = {"annotation", "tma core", "root object", "tile", "pathannotationobject", "pathrootobject", "pathtileobject"}
"""Object types in QuPath's tables that are no cells."""
UTF16 = (b"\xff\xfe", b"\xfe\xff")
MOST = 2**31
"""Numbers of sections are smaller."""


class ColumnReader(CellReader):
    """Tables; `PLACES`, `SIZES` and `SHAPES` are the columns that are read, others are passed over.

    Cells are told their section by a column `section` (and `brain`), or QuPath's `Image`; their layer by `layer`. The
    delimiter is found: tab, semicolon, comma or blank. A Parquet file may state `um_per_px` in its metadata.
    """

    suffixes = (".csv", ".tsv", ".txt", ".parquet")

    def read(self, path: Path) -> CellTable:
        """Return the cells."""
        regular_size(path, MAX_BYTES)
        um_per_px = None
        if path.suffix.lower() == ".parquet":
            data = pq.read_table(path)
            um_per_px = _stated(path, (data.schema.metadata or {}).get(b"um_per_px"))
        else:
            data = _read_text(path)
        return from_columns(path, _columns(path, data), um_per_px)


def read_text_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of a text table by their plain names.

    Raises
    ------
    CellError
        If it is no table, or has a column twice.
    """
    regular_size(path, MAX_BYTES)
    return _columns(path, _read_text(path))


def from_columns(path: Path, columns: Mapping[str, NDArray[Any]], um_per_px: float | None = None) -> CellTable:
    """Return the cells of named columns.

    Raises
    ------
    CellError
        If no pair of columns says where they are, or a column is not of numbers.
    """
    found = next((pair for pair in PLACES if pair[0] in columns and pair[1] in columns), None)
    if found is None:
        raise _no_places(path, list(columns))
    x, y, unit, is_corner = found
    sizes = {name: next(((n, u) for n, u in known if n in columns), None) for name, known in SIZES.items()}
    units = {size[1] for size in sizes.values() if size}
    if len(units) > 1:  # an area in one unit, a perimeter in another: their ratio would mean nothing
        sizes["perimeter"] = None
    measures = {name: numbers(path, size[0], columns) for name, size in sizes.items() if size}
    for name, known in SHAPES.items():
        if column := next((n for n in known if n in columns), None):
            measures[name] = numbers(path, column, columns)
    section = None if "section" not in columns else numbers(path, "section", columns)
    if section is not None and not ((np.abs(section) < MOST) & (section == np.round(section))).all():
        raise CellError(path, "column section", found="what is no number of a section", expected="whole numbers")
    table = CellTable(
        np.column_stack([numbers(path, x, columns), numbers(path, y, columns)]),
        unit,
        is_corner,
        measures,
        sizes["area"][1] if sizes["area"] else "px",
        None if "layer" not in columns else _layers(columns["layer"]),
        None if section is None else section.astype(np.int64),
        _words("brain", columns),
        _words("image", columns),
        um_per_px,
    )
    if "object type" not in columns:
        return table
    return table.of(~np.isin([_plain(kind) for kind in columns["object type"].astype(str)], list(NO_CELLS)))


def _columns(path: Path, data: Any) -> dict[str, NDArray[Any]]:
    names = [_plain(name) for name in data.column_names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CellError(path, found=f"column {', '.join(twice)} given twice", expected="each column once")
    return {name: data.column(i).to_numpy(zero_copy_only=False) for i, name in enumerate(names)}


def _stated(path: Path, text: bytes | None) -> float | None:
    """Return the pixel size that the metadata of a Parquet file give."""
    if text is None:
        return None
    value = float(text) if _is_number(text) else np.nan
    if not 0 < value < np.inf:
        found = f"'{text.decode(errors='replace')[:40]}'"
        raise CellError(path, "metadata um_per_px", found=found, expected="a positive number", hint="write it again")
    return value


def _read_text(path: Path) -> Any:
    """Read a text table; INM-1's begin with "# "."""
    data = _utf8(path.read_bytes()).removeprefix(b"# ")
    if not data.strip():
        raise CellError(path, found="an empty file", expected="a line of names of columns", hint="export it again")
    header, newline, _ = data.partition(b"\n")
    delimiter = next((mark for mark in NAMES if mark in header.decode().strip()), ",")
    if delimiter == " ":  # columns of fixed width
        data = re.sub(rb"(?m)^ +| +(?= )| +$", b"", data)
    if not newline:
        data += b"\n"
    options = pc.ConvertOptions(null_values=["", "NA", "n/a", "NaN", "nan", "null"])
    try:
        return pc.read_csv(BytesIO(data), parse_options=pc.ParseOptions(delimiter=delimiter), convert_options=options)
    except pa.ArrowInvalid as cause:
        hint = "decimals are written with a point, not a comma; text with a delimiter in it stands in quotes"
        found = f"lines that do not fit the first ({' '.join(str(cause).split())[:120]})"
        expected = f"cells separated by {NAMES[delimiter]}"
        raise CellError(path, found=found, expected=expected, hint=hint) from cause


def _utf8(data: bytes) -> bytes:
    """Return text as UTF-8: spreadsheets save UTF-16 or the Windows code page, in which other bytes are a micro."""
    if data.startswith(UTF16):
        return data.decode("utf-16").encode()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", str(name)).lower().replace("μ", "u").split())


def numbers(path: Path, name: str, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return a column as numbers, (n,).

    Raises
    ------
    CellError
        If a row holds none.
    """
    values = columns[name]
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if not len(values):
        return np.empty(0)
    wrong = next((i for i, value in enumerate(values) if not _is_number(value)), None)
    if wrong is None:
        return values.astype(np.float64)
    commas = "decimals are written with a comma: export the table with a decimal point and without marks of thousands"
    hint = commas if "," in str(values[wrong]) else ""
    place = f"row {wrong + 1}, column {name}"
    raise CellError(path, place, found=f"'{str(values[wrong])[:40]}'", expected="a number", hint=hint)


def _words(name: str, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_] | None:
    return None if name not in columns else columns[name].astype(str)


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _layers(values: NDArray[Any]) -> NDArray[np.int8]:
    """Return 1 to 6 for numbers and Roman numerals, "layer" or L before them or not; 0 for anything else."""
    known, index = np.unique(values.astype(str), return_inverse=True)
    words = [re.sub(r"^(layer|lamina|l)(?=[\W_\divx])[ _-]*", "", _plain(word)) for word in known]
    numbers = {str(n): n for n in range(1, 7)} | {f"{n}.0": n for n in range(1, 7)} | ROMAN
    return np.array([numbers.get(word, 0) for word in words], np.int8)[index.ravel()]


def _no_places(path: Path, names: Sequence[str]) -> CellError:
    wanted = [name for x, y, *_ in PLACES for name in (x, y)]
    near = {name: nearest(name, wanted, cutoff=0.8) for name in names}
    guesses = [f"'{name}' (did you mean '{close}'?)" for name, close in near.items() if close]
    listed = ", ".join(guesses or [f"'{name}'" for name in names[:8]]) or "none"
    pairs = "; ".join(f"{x}, {y}" for x, y, *_ in PLACES)
    hint = "rename two columns; a table in one column has another delimiter than tab, semicolon, comma or blank"
    return CellError(path, "line 1", found=f"columns {listed}", expected=f"a pair of {pairs}", hint=hint)
