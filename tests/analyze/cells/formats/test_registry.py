"""Which reader a file goes to."""

import pytest

from cytomesh.analyze.cells.formats.registry import CELL_READERS, read_cells
from cytomesh.core.errors import CellError
from cytomesh.core.registry import by_suffix


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("a.csv", "columns"),
        ("segments.txt", "columns"),
        ("a_cp_outlines.txt", "cellpose"),
        ("a_cp_masks.png", "labels"),
        ("A.TIF", "labels"),
        ("rois.zip", "imagej"),
        ("a.geojson.gz", "geojson"),
    ],
)
def test_the_longest_suffix_decides(tmp_path, name, reader):
    assert by_suffix(CELL_READERS, tmp_path / name) is CELL_READERS[reader]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("a_seg.npy", "save_masks"),
        ("a.h5", "writes a CSV"),
        ("a.PKL", "run anything"),
        ("a.xlsx", "CSV"),
        ("a.xyz", "one of"),
    ],
)
def test_what_is_not_read_has_a_way_out(tmp_path, name, way):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CellError, match=way):
        read_cells(tmp_path / name)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(CellError, match=r"absent.csv: found cells that cannot be read .*No such file"):
        read_cells(tmp_path / "absent.csv")
