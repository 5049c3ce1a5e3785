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


HEADER = "Image\tObject type\tCentroid X {0}m\tCentroid Y {0}m\tArea {0}m^2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
@pytest.mark.parametrize("micro", ["\N{MICRO SIGN}", "u"])
def test_micro_is_micro_in_every_encoding_that_spreadsheets_write(tmp_path, encoding, micro):
    rows = "a.tif\tPathAnnotationObject\t1\t2\t3\na.tif\tTile\t1\t2\t3\na.tif\tDetection\t10.5\t20\t50\n"
    (tmp_path / "q.tsv").write_bytes((HEADER.format(micro) + rows).encode(encoding))
    table = read_cells(tmp_path / "q.tsv")
    np.testing.assert_allclose(table.places, [(10.5, 20)])
    assert (table.unit, table.size_unit, table.measures["area"].tolist()) == ("um", "um", [50])


@pytest.mark.parametrize("text", ["x  y   area\n1  2   3\n", "  x   y area\n 1   2    3\n", "x,y,area\r\n1,2,3\r\n"])
def test_columns_of_fixed_width_and_other_ends_of_lines_are_read(tmp_path, text):
    (tmp_path / "cells.txt").write_bytes(text.encode())
    table = read_cells(tmp_path / "cells.txt")
    assert table.places.tolist() == [[1, 2]] and table.measures["area"].tolist() == [3]


def test_layers_have_many_names_and_what_is_none_is_none(tmp_path):
    words = ["Layer 1", "L2", "layer_III", "lamina IV", "LV", "6.0", "2/3", "WM", "", "7", "-1", "lv"]
    (tmp_path / "a.csv").write_text("x,y,layer\n" + "".join(f"1,{i},{word}\n" for i, word in enumerate(words)))
    assert read_cells(tmp_path / "a.csv").layer.tolist() == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 5]


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
        ("x,y,section\n1,2,99999999999999999999\n", "what is no number of a section"),
        ("x\ty\n1.234,5\t2\n", "found '1.234,5'.*decimals are written with a comma"),
        ("", "found an empty file"),
        ("\n", "found an empty file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, said):
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(CellError, match=said):
        read_cells(path)


@pytest.mark.parametrize("text", ["x,y,area\n", "x\ty"])
def test_an_empty_table_is_one_without_cells(tmp_path, text):
    path = tmp_path / "cells.csv"
    path.write_text(text)
    assert len(read_cells(path)) == 0


@pytest.mark.parametrize("um", ["abc", "-1", "0", "nan", "inf"])
def test_a_pixel_size_that_is_none_is_named(tmp_path, um):
    path = write_parquet(tmp_path / "cells.parquet", um, x=[1.0], y=[2.0])
    with pytest.raises(CellError, match=f"metadata um_per_px: found '{um}', expected a positive number"):
        read_cells(path)
