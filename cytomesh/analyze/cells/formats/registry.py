"""Which reader a file of cells goes to; other packages add theirs (see `Registry`)."""

from __future__ import annotations

from pathlib import Path

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable
from cytomesh.core.errors import CellError
from cytomesh.core.reading import reading
from cytomesh.core.registry import Registry, by_suffix

CELL_READERS: Registry[CellReader] = Registry(
    "cytomesh.cell_readers",
    CellReader,
    {
        "columns": "cytomesh.analyze.cells.formats.columns:ColumnReader",
        "geojson": "cytomesh.analyze.cells.formats.geojson:GeoJsonReader",
        "cellpose": "cytomesh.analyze.cells.formats.outlines:CellposeReader",
        "imagej": "cytomesh.analyze.cells.formats.outlines:RoiReader",
        "labels": "cytomesh.analyze.cells.formats.labels:LabelReader",
    },
)
REFUSED = {
    ".npy": "in Cellpose: io.save_masks(..., png=True), or File > Save masks as PNG/tif; _seg.npy is pickled, which "
    "could run anything",
    ".pkl": "export a table (CSV, Parquet): a pickle could run anything",
    ".pickle": "export a table (CSV, Parquet): a pickle could run anything",
    ".xlsx": "save it as CSV",
    ".npz": "export a label image (TIFF, PNG) or outlines",
    ".h5": "in celldetection: --properties label area centroid perimeter eccentricity writes a CSV beside it",
    ".hdf5": "in celldetection: --properties label area centroid perimeter eccentricity writes a CSV beside it",
}
"""Formats that are not read, and the way out."""


def read_cells(path: Path) -> CellTable:
    """Read the cells of one file: a table (CSV, TSV, Parquet), GeoJSON, outlines, ImageJ ROIs or a label image.

    Raises
    ------
    CellError
        If it is missing, damaged, of an unknown format, or does not say where its cells are.
    """
    hint = next((hint for end, hint in REFUSED.items() if path.name.lower().endswith(end)), "")
    if hint:
        raise CellError(path, found=f"a file of a format that is not read ('{path.suffix}')", hint=hint)
    kind = by_suffix(CELL_READERS, path)
    if kind is None:
        known = sorted({end for reader in CELL_READERS.values() for end in reader.suffixes})
        raise CellError(path, found=f"unknown format '{path.suffix}'", expected=f"one of {', '.join(known)}")
    found, hint = "cells that cannot be read", "export them again"
    with reading(path, CellError, found=found, expected="a table of cells", hint=hint):
        return kind().read(path)
