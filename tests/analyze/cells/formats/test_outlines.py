"""Outlines of Cellpose and ROIs of ImageJ."""

import zipfile

import numpy as np
import pytest
from roifile import ImagejRoi

from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.core.errors import CellError
from tests.analyze.cells.tables import disc


def test_a_line_of_cellpose_is_a_cell_and_specks_are_passed_over(tmp_path):
    path = tmp_path / "a_cp_outlines.txt"
    square = "10,20,14,20,14,24,10,24"
    path.write_text(f"{square}\n5,6\n" + ",".join(map(str, disc(50, 60, 8).ravel())) + "\n")
    table = read_cells(path)
    np.testing.assert_allclose(table.places, [(12, 22), (50, 60)], atol=1e-9)
    np.testing.assert_allclose(table.measures["area"], [16, 64 * np.pi], rtol=1e-3)
    assert not table.is_corner
    path.write_text("1,2,3\n")
    with pytest.raises(CellError, match="line 1: found '1,2,3', expected x1,y1"):
        read_cells(path)


def test_rois_of_imagej_count_from_the_corner(tmp_path):
    path = tmp_path / "rois.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i, x in enumerate((10, 40)):
            points = np.array([(x, 20), (x + 6, 20), (x + 6, 30), (x, 30)], np.float32)
            archive.writestr(f"{i}.roi", ImagejRoi.frompoints(points, name=f"cell{i}").tobytes())
    table = read_cells(path)
    np.testing.assert_allclose(np.sort(table.places[:, 0]), [13, 43])
    np.testing.assert_allclose(table.measures["area"], 60)
    assert table.is_corner
