"""Tables and JSON files of a run or a study beside the manual's lists of columns and keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from docs._ext.columns import Column, TableFile, fitting, read_tables

TABLES = Path(__file__).parents[2] / "docs" / "reference" / "tables"
# Whole numbers are numbers, and empty lists are lists of anything.
WIDER = {
    "float": ("int",),
    "list of float": ("list of int", "list"),
    "list of list of float": ("list of list of int", "list"),
    **{f"list of {kind}": ("list",) for kind in ("int", "str", "bool", "object", "list of int")},
}
UNITS = {
    "_per_mm3": "1/mm3",
    "_per_mm2": "1/mm2",
    "_um2": "um2",
    "_mm": "mm",
    "_mm2": "mm2",
    "_mm3": "mm3",
    "_deg": "deg",
    "um_per_px": "um",
    "_px": "px",
    "_um": "um",
}
UNITS |= {"_s": "s", "seconds": "s", "_gib": "GiB", "bytes": "bytes"}
"""By the ends of names."""
TYPES = {"double": "float64", "float": "float32", "string": "str", "large_string": "str"}


def documented(folder: Path) -> set[str]:
    """Compare all tables of a run or study with the manual; returns the patterns of the paths that there are."""
    tables = [table for path in sorted(TABLES.glob("*.yaml")) for table in read_tables(path)]
    return {_check(path, folder, tables) for path in folder.rglob("*.parquet")}


def undocumented(folder: Path) -> list[str]:
    """Compare all JSON files of a run or study with the manual; returns what differs, nothing if all is as it says.

    Of OME-Zarr, whose metadata its own specification documents, and of hidden files, nothing is asked.
    """
    files = [table for path in sorted(TABLES.glob("*.yaml")) for table in read_tables(path) if table.word == "key"]
    faults: set[str] = set()
    seen: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.json*")):
        name = path.relative_to(folder).as_posix()
        if path.name == "zarr.json" or "/." in f"/{name}":
            continue
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        values = [json.loads(line) for line in lines]
        fitting = [file for file in files if file.pattern.fullmatch(name)]
        found = [[item for value in values for item in _keys(value, "", file)] for file in fitting]
        if not found:
            faults.add(f"{name} is not documented")
            continue
        best = min(range(len(found)), key=lambda i: sum(bool(fault) for _, fault in found[i]))
        faults |= {f"{fitting[best].files}: {fault}" for _, fault in found[best] if fault}
        seen.setdefault(fitting[best].files, set()).update(column for column, _ in found[best])
    for file in files:
        names = [column.name for column in file.columns if not column.when]
        faults |= {f"{file.files}: there is no {name}" for name in names if name not in seen.get(file.files, names)}
    return sorted(faults)


def _keys(value: Any, place: str, file: TableFile) -> Iterator[tuple[str, str]]:
    """Yield the documented key of every value, and what is wrong with it, if anything."""
    column = next((column for column in file.columns if column.pattern.fullmatch(place)), None)
    is_list = isinstance(value, list) and (not value or any(isinstance(item, dict | list) for item in value))
    if column is not None and not (column.type == "null" and isinstance(value, dict)):
        kind = _json_type(value)
        fits = [fit for word in column.type.split(" or ") for fit in (word, *WIDER.get(word, ()))]
        yield column.name, "" if column.type == "any" or kind in fits else f"{place} is {kind}"
        unit = next((unit for end, unit in UNITS.items() if column.name.rstrip("}").endswith(end)), None)
        if unit is not None and column.unit not in (unit, "any") and value is not None:
            yield column.name, f"{place} has unit {column.unit}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _keys(item, f"{place}/{key}" if place else key, file)
    elif is_list and (value or any(_is_within(other, place) for other in file.columns)):
        for index, item in enumerate(value):
            yield from _keys(item, f"{place}/{index}" if place else str(index), file)
    else:
        yield "", f"{place} is not documented"


def _is_within(column: Column, place: str) -> bool:
    parts = column.name.split("/")
    depth = place.count("/") + 1 if place else 0
    return len(parts) > depth and bool(fitting("/".join(parts[:depth])).fullmatch(place))


def _json_type(value: Any) -> str:
    if isinstance(value, list):
        kinds = {_json_type(item) for item in value}
        kinds -= {"int"} if "float" in kinds else set()
        kinds -= {"null"} if len(kinds) > 1 else set()
        return f"list of {kinds.pop()}" if len(kinds) == 1 else "list of any" if kinds else "list"
    return {dict: "object", type(None): "null"}.get(type(value), type(value).__name__)


def _check(path: Path, folder: Path, tables: list[TableFile]) -> str:
    """Compare a file with its documentation, of several the one that fits; returns the pattern of its path."""
    name = path.relative_to(folder).as_posix()
    wrong = {table: _faults(path, table) for table in tables if table.pattern.fullmatch(name)}
    table = min(wrong, key=lambda each: (len(wrong[each]), -len(each.files)))
    assert wrong[table] == [], f"{name}, beside {table.files}"
    return table.files


def _faults(path: Path, table: TableFile) -> list[str]:
    schema, found = pq.read_schema(path), []
    for field in schema:
        column = next((column for column in table.columns if column.pattern.fullmatch(field.name)), None)
        unit = (field.metadata or {}).get(b"unit", b"").decode()
        if column is None:
            found.append(f"{field.name} is not documented")
        elif column.type != "any" and (_type(field.type) not in column.type.split(" or ") or unit != column.unit):
            found.append(f"{field.name} is {_type(field.type)} [{unit}]")
    for column in table.columns:
        if not column.when and not any(column.pattern.fullmatch(field.name) for field in schema):
            found.append(f"there is no {column.name}")
    return found


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    return TYPES.get(str(kind), str(kind))
