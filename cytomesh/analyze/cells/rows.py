"""Sums as rows of a table: by layer and by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.cells.config import CellsConfig
from cytomesh.analyze.cells.measure import LAYERS, Tally, units
from cytomesh.analyze.cells.table import Values
from cytomesh.core.tables import Table, write_table


def layer_rows(whole: Tally, least_mm2: float, settings: CellsConfig) -> list[dict[str, Any]]:
    """Return one row for all layers and, where they are told apart, one for each."""
    columns = whole.columns(least_mm2, has_layers=settings.layers.source != "none")
    plain = [name for name in columns if not any(f"_{layer}_" in f"{name}_" for layer in LAYERS)]
    rows = [{"layer": "all", **{name: _value(columns[name]) for name in plain}}]
    if settings.layers.source == "none":
        return rows
    for layer in LAYERS:
        row: dict[str, Any] = {"layer": layer}
        for name in plain:
            row[name] = _value(columns[of_layer(name, layer)])
        rows.append(row)
    return rows


def of_layer(name: str, layer: str) -> str:
    """Return the name of a measure's column for one layer: density_per_mm2 -> density_III_per_mm2."""
    if name == "n_cells":
        return f"{name}_{layer}"
    stem, _, unit = name.partition("_")
    return f"{stem}_{layer}_{unit}" if unit else f"{stem}_{layer}"


def profile_rows(depth: Tally, least_mm2: float) -> list[dict[str, Any]]:
    """Return one row for each bin of depth, from pial to white."""
    columns = depth.columns(least_mm2, has_layers=False)
    n = len(depth.mm2)
    return [
        {"depth": (i + 0.5) / n, **{name: _value(values[i : i + 1]) for name, values in columns.items()}}
        for i in range(n)
    ]


def _value(values: Values) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as Parquet; what a row lacks is NaN."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = {"graph", "layer", "section"}
    columns = {
        name: np.array([row.get(name) for row in rows], dtype=None if name in text else np.float64) for name in names
    }
    write_table(path, Table(columns, units(columns)))
