"""Label images: every cell its number, 0 is none (Cellpose's `_cp_masks`, StarDist, ilastik, QuPath)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.measure import label as connected
from skimage.measure import regionprops_table

from cytomesh.analyze.cells.formats.reader import CellReader
from cytomesh.analyze.cells.table import CellTable
from cytomesh.core.errors import CellError, ImageError
from cytomesh.study.annotation import read_label_image

PROPERTIES = ("centroid", "area", "perimeter_crofton", "eccentricity")


class LabelReader(CellReader):
    """PNG or TIFF of whole numbers, pixel centres at integers.

    Measured by scikit-image; the perimeter by Crofton's formula in four directions, which pixels bias least.
    """

    suffixes = (".png", ".tif", ".tiff")

    def read(self, path: Path) -> CellTable:
        """Return the cells."""
        try:
            labels = read_label_image(path)
        except ImageError as cause:
            found = f"a label image that cannot be read ({cause.found})"
            raise CellError(path, found=found, expected="PNG or TIFF of whole numbers", hint=cause.hint) from cause
        labels = labels.astype(np.int64)
        if labels.size and labels.min() < 0:
            hint = "write 0 where there is no cell"
            raise CellError(path, found=f"the value {labels.min()}", expected="numbers of cells, from 1", hint=hint)
        # numbers may have gaps and be large: each is measured within its own box
        found = regionprops_table(labels, properties=PROPERTIES)
        if len(found["area"]) == 1 and (n_parts := int(connected(labels, return_num=True)[1])) > 1:
            hint = "number the cells (skimage.measure.label, or Cellpose's and StarDist's own label images)"
            where = f"one value, {labels.max()}, in {n_parts:,} places"
            raise CellError(path, found=f"a mask: {where}", expected="a number for each cell", hint=hint)
        places = np.column_stack([found["centroid-1"], found["centroid-0"]]).astype(np.float64)
        measures = {"area": found["area"].astype(np.float64), "perimeter": found["perimeter_crofton"]}
        return CellTable(places, "px", False, {**measures, "eccentricity": found["eccentricity"]})
