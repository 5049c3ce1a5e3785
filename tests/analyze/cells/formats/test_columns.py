"""Tables of one row a cell, as several programs write them."""

import numpy as np
import pytest

from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.core.errors import CellError
from tests.analyze.cells.tables import write_csv, write_parquet


def test_qupath_counts_um_from_the_corner_and_its_annotations_are_no_cells(tmp_path):
    path = tmp_path / "measurements.tsv"
    header = "Image\tObject type\tCentroid X µm\tCentroid Y μm\tNucleus: Area µm^2\tNucleus: Circularity"
    rows = ["a.tif\tAnnotation\t1\t2\t900\t0.1", "a.tif\tCell\t10.5\t20\t50\t0.9", "a.tif\tDetection\t7\t8\t60\tNaN"]
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    table = read_cells(path)
    assert (table.unit, table.is_corner, table.size_unit) == ("um", True, "um")
    np.testing.assert_allclose(table.places, [(10.5, 20), (7, 8)])
    np.testing.assert_allclose(table.measures["area"], [50, 60])
    np.testing.assert_allclose(table.measures["circularity"], [0.9, np.nan])
    assert table.image.tolist() == ["a.tif", "a.tif"]


def test_tables_of_scikit_image_have_the_row_first(tmp_path):
    path = write_csv(tmp_path / "cd.csv", ",label,area,centroid-0,centroid-1,perimeter", [[0, 1, 30, 5, 9, 20]])
    table = read_cells(path)
    np.testing.assert_allclose(table.places, [(9, 5)])
    assert table.unit == "px" and not table.is_corner and table.size_unit == "px"
    assert table.measures["perimeter"] == [20]


def test_segments_of_inm1(tmp_path):
    path = tmp_path / "segments.txt"
    path.write_text("# x y area layer label\n10.5 20.25 87.5 1 1\n11 21 60 6 2\n12 22 61 0 3\n")
    table = read_cells(path)
    np.testing.assert_allclose(table.places[0], (10.5, 20.25))
    assert table.layer.tolist() == [1, 6, 0] and table.unit == "px"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
def test_the_delimiter_is_found_and_layers_may_be_roman(tmp_path, delimiter):
    path = tmp_path / "cells.csv"
    lines = [["x_um", "y_um", "layer", "section"], ["1.5", "2", "IV", "7"], ["3", "4", "white", "8"]]
    path.write_text("\n".join(delimiter.join(line) for line in lines))
    table = read_cells(path)
    np.testing.assert_allclose(table.places, [(1.5, 2), (3, 4)])
    assert table.layer.tolist() == [4, 0] and table.section.tolist() == [7, 8]


def test_parquet_states_its_pixel_size(tmp_path):
    path = write_parquet(tmp_path / "cells.parquet", 0.5, column_px=[1.0, 2.0], row_px=[3.0, 4.0], area_um2=[9, 8])
    table = read_cells(path)
    assert table.um_per_px == 0.5 and table.size_unit == "um" and len(table) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", r"columns 'a', 'b', expected a pair of column_px, row_px"),
        ("column_pxl,row_px\n1,2\n", "did you mean 'column_px'"),
        ("x|y\n1|2\n", r"'x\|y'.*another delimiter"),
        (
            "x;y\n1,5;2,5\n",
            "row 1, column x: found '1,5', expected a number. Way out: decimals are written with a comma",
        ),
        ("x,y\n1,5,2,5\n", "decimals are written with a point"),
        ("x,y,x\n1,2,3\n", "column x given twice"),
        ("x,y\n1,two\n", "row 1, column y: found 'two'"),
        ("x,y,section\n1,2,3\n1,2,\n", "what is no number of a section"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, said):
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(CellError, match=said):
        read_cells(path)


def test_an_empty_table_is_one_without_cells(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text("x,y,area\n")
    assert len(read_cells(path)) == 0
