"""Outlines of cells: Cellpose's text files, and ROIs of ImageJ as Cellpose and StarDist export them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable, from_polygons, outline_polygons
from cytomesh.core.errors import CellError
from cytomesh.core.reading import regular_size
from cytomesh.study.contour_formats.imagej import read_imagej

MAX_BYTES = 2**32
MIN_POINTS = 3


class CellposeReader(CellReader):
    """`*_cp_outlines.txt`: a line per cell, x1,y1,x2,y2,..., pixel centres at integers.

    Cellpose's outlines run through the centres of a cell's outermost pixels: as polygons they are half a pixel smaller
    all around than its mask, whose `_cp_masks.png` or `.tif` is the better choice for sizes.
    """

    suffixes = ("_cp_outlines.txt",)

    def read(self, path: Path) -> CellTable:
        """Return the cells; outlines of fewer than three points, which Cellpose writes for specks, are passed over."""
        regular_size(path, MAX_BYTES)
        outlines = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                values = np.array(line.split(","), np.float64) if line.strip() else np.empty(0)
                points = values.reshape(-1, 2)
            except ValueError as cause:
                expected = "x1,y1,x2,y2,..."
                raise CellError(path, f"line {number}", found=f"'{line[:40]}'", expected=expected) from cause
            if len(points) >= MIN_POINTS:
                outlines.append(points)
        return from_polygons(outline_polygons(path, outlines), is_corner=False)


class RoiReader(CellReader):
    """ImageJ's ROIs, one by one or zipped (`cellpose.io.save_rois`, StarDist's `export_imagej_rois`).

    ImageJ counts pixels from the corner of the first one.
    """

    suffixes = (".roi", ".zip")

    def read(self, path: Path) -> CellTable:
        """Return the cells."""
        features = read_imagej(path)
        wrong = next((feature for feature in features if feature.fault or not feature.polygons), None)
        if wrong is not None:
            raise CellError(path, wrong.place, found=wrong.fault or "no outline", expected="outlines of cells")
        outlines = [feature.polygons[0][0] for feature in features]
        return from_polygons(outline_polygons(path, outlines), is_corner=True)
