"""Node and section tables as Parquet, with units in the column metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import MissingStageError
from cytomesh.core.files import atomic_path
from cytomesh.core.formats import FORMATS, Format, check_format
from cytomesh.core.reading import reading, way_back

VERSION = "cytomesh_format"
"""Key of the schema metadata that holds the version of the format."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length.

    Parameters
    ----------
    columns : dict of str to (n,) array or (n, k) scipy CSR matrix
        Numbers, booleans or strings; a sparse matrix becomes two list columns, `<name>_index` and `<name>_value`.
    units : dict of str to str
        Unit of a column, where it has one ("mm", "px", "deg").
    metadata : dict of str to str
        Facts about the whole table.
    """

    columns: Mapping[str, Any]
    units: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        first = next(iter(self.columns.values()))
        return int(first.shape[0])

    def stack(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the named columns side by side, (n, len(names)) float64."""
        return np.column_stack([np.asarray(self.columns[name], np.float64) for name in names])


def write_table(path: Path, table: Table, kind: Format = "table") -> None:
    """Write a Parquet file, whole or not at all; it carries the version of its format."""
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []

    def add(name: str, array: pa.Array, unit: str) -> None:
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={"unit": unit} if unit else None))

    metadata = {**table.metadata, VERSION: str(FORMATS[kind])}
    for name, column in table.columns.items():
        unit = table.units.get(name, "")
        if sp.issparse(column):
            csr = sp.csr_matrix(column)
            offsets = pa.array(csr.indptr.astype(np.int32))
            add(f"{name}_index", pa.ListArray.from_arrays(offsets, pa.array(csr.indices.astype(np.int32))), "")
            add(f"{name}_value", pa.ListArray.from_arrays(offsets, pa.array(csr.data.astype(np.float32))), unit)
            metadata[f"sparse:{name}"] = str(csr.shape[1])
        else:
            add(name, pa.array(np.asarray(column)), unit)
    schema = pa.schema(fields, metadata=metadata)
    with atomic_path(path) as temporary:
        whole = pa.Table.from_arrays(arrays, schema=schema)
        pq.write_table(whole, temporary, compression="zstd", write_page_checksum=True)


def read_table(path: Path, kind: Format = "table", needs: Sequence[str] = ()) -> Table:
    """Read a Parquet file written by `write_table` (or any flat one); `needs` are columns that have to be there.

    Raises
    ------
    MissingStageError
        If there is no such file.
    FormatError
        If its format is newer than this program knows.
    DamagedError
        If it is truncated, damaged, or no table.
    """
    if not path.exists() and not path.is_symlink():
        raise MissingStageError(path, found="no such table", hint=way_back(path))
    with reading(path, expected="a table (Parquet)"):
        table = _read(path, kind)
        if missing := [name for name in needs if name not in table]:
            raise ValueError(f"no column {', '.join(missing)}")
        return table


def _read(path: Path, kind: Format) -> Table:
    data = pq.read_table(path, page_checksum_verification=True)
    metadata = {key.decode(): value.decode() for key, value in (data.schema.metadata or {}).items()}
    metadata.pop("ARROW:schema", None)
    check_format(path, kind, metadata.pop(VERSION, None))
    sparse = {key.removeprefix("sparse:"): int(value) for key, value in metadata.items() if key.startswith("sparse:")}
    columns: dict[str, Any] = {}
    units: dict[str, str] = {}
    for column in data.schema:
        unit = (column.metadata or {}).get(b"unit", b"").decode()
        base, _, part = column.name.rpartition("_")
        if base in sparse and part in ("index", "value"):
            if part == "value":
                columns[base] = _sparse(data, base, sparse[base])
                if unit:
                    units[base] = unit
            continue
        columns[column.name] = data.column(column.name).to_numpy(zero_copy_only=False)
        if unit:
            units[column.name] = unit
    return Table(columns, units, {key: value for key, value in metadata.items() if not key.startswith("sparse:")})


def _sparse(data: pa.Table, name: str, width: int) -> sp.csr_matrix:
    index = data.column(f"{name}_index").combine_chunks()
    value = data.column(f"{name}_value").combine_chunks()
    lengths = index.value_lengths().to_numpy(zero_copy_only=False)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    parts = value.flatten().to_numpy(), index.flatten().to_numpy(), indptr
    matrix = sp.csr_matrix(parts, shape=(len(data), width))
    matrix.check_format(full_check=True)  # no index beyond the width
    return matrix
