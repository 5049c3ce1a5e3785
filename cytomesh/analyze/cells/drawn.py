"""Layers whose areas somebody drew and measured: INM-1's `layerinfo.txt` beside `segments.txt`.

Its counts and areas give the densities as they were published, without a surface: what cells by the depth field are
held against.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.cells.formats.columns import numbers, read_text_columns
from cytomesh.analyze.cells.measure import LAYERS
from cytomesh.analyze.cells.sections import SectionCells
from cytomesh.analyze.cells.table import Values
from cytomesh.analyze.cells.volume import SectionVolume
from cytomesh.core.errors import CellError
from cytomesh.core.reading import reading
from cytomesh.study.sections import Section

CELLS, LAYER_INFO = "segments.txt", "layerinfo.txt"
NUMBER, AREA, THICKNESS = "number", "area(micron**2)", "avgthickness(micron)"


@dataclass(frozen=True, slots=True)
class DrawnLayers:
    """What was drawn of layers I to VI in one patch.

    Parameters
    ----------
    mm2, thickness_mm : (6,) float64
        Area and mean thickness in the section; NaN where a layer was not drawn.
    """

    mm2: Values
    thickness_mm: Values


def drawn_path(cells: Path) -> Path | None:
    """Return the file of drawn layers beside a file of cells, if there is one."""
    path = cells.with_name(LAYER_INFO)
    return path if cells.name == CELLS and path.is_file() else None


def read_drawn(path: Path) -> DrawnLayers:
    """Read `layerinfo.txt`: `# Number Name Area(micron**2) AvgThickness(micron)`, one row per layer.

    The columns are those that siibra-python reads and names (`CorticalCellDistribution.layers`).

    Raises
    ------
    CellError
        If it lacks a column, or a layer is none of 1 to 6 or given twice.
    """
    expected = "a row for each layer"
    with reading(path, CellError, found="layers that cannot be read", expected=expected, hint="copy it again"):
        columns = read_text_columns(path)
    missing = [name for name in (NUMBER, AREA, THICKNESS) if name not in columns]
    if missing:
        expected = f"columns {NUMBER}, {AREA} and {THICKNESS}"
        raise CellError(path, "line 1", found=f"no column {missing[0]}", expected=expected, hint="copy it again")
    number, area, thickness = (numbers(path, name, columns) for name in (NUMBER, AREA, THICKNESS))
    index = np.where(np.isin(number, range(1, 1 + len(LAYERS))), number, 0).astype(np.int64) - 1
    if (index < 0).any() or len(np.unique(index)) < len(index):
        found = f"layers {', '.join(f'{value:g}' for value in number)}"
        raise CellError(path, f"column {NUMBER}", found=found, expected="1 to 6, each once", hint="copy it again")
    mm2, mm = np.full(len(LAYERS), np.nan), np.full(len(LAYERS), np.nan)
    mm2[index], mm[index] = 1e-6 * area, 1e-3 * thickness
    return DrawnLayers(mm2, mm)


def drawn_rows(
    section: Section, cells: SectionCells, weight: Values, drawn: DrawnLayers, volume: SectionVolume
) -> list[dict[str, Any]]:
    """Return a row for each drawn layer: all cells that the table has in it, over its area."""
    layer = np.zeros(len(cells), np.int8) if cells.layer is None else cells.layer
    size = cells.measures.get("area_um2", np.full(len(cells), np.nan))
    mm3 = volume.tissue_mm3(drawn.mm2)
    rows: list[dict[str, Any]] = []
    for k in np.flatnonzero(drawn.mm2 > 0):
        own = layer == k + 1
        known = own & np.isfinite(size)
        rows.append(
            {
                "section": section.name,
                "layer": LAYERS[k],
                "n_cells": float(own.sum()),
                "cortex_mm2": float(drawn.mm2[k]),
                "thickness_mm": float(drawn.thickness_mm[k]),
                "density_per_mm2": float(weight[own].sum() / drawn.mm2[k]),
                "density_per_mm3": None if volume.section_um is None else float(weight[own].sum() / mm3[k]),
                "area_um2": float(np.average(size[known], weights=weight[known])) if known.any() else None,
            }
        )
    return rows
