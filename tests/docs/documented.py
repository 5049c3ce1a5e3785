"""Tables of a run or a study beside the manual's lists of columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from docs._ext.columns import TableFile, read_tables

TABLES = Path(__file__).parents[2] / "docs" / "reference" / "tables"
TYPES = {"double": "float64", "float": "float32", "string": "str", "large_string": "str"}


def documented(folder: Path) -> set[str]:
    """Compare all tables of a run or study with the manual; returns the patterns of the paths that there are."""
    tables = [table for path in sorted(TABLES.glob("*.yaml")) for table in read_tables(path)]
    return {_check(path, folder, tables) for path in folder.rglob("*.parquet")}


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
