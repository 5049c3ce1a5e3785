"""Label images."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.core.errors import CellError


def test_each_number_is_a_cell(tmp_path):
    labels = np.zeros((60, 80), np.uint16)
    rows, columns = np.mgrid[:60, :80]
    labels[np.hypot(rows - 20, columns - 30) < 10] = 3
    labels[40:44, 50:60] = 7
    Image.fromarray(labels).save(tmp_path / "a_cp_masks.png")
    tifffile.imwrite(tmp_path / "a.tif", labels)
    for name in ("a_cp_masks.png", "a.tif"):
        table = read_cells(tmp_path / name)
        np.testing.assert_allclose(table.places, [(30, 20), (54.5, 41.5)])
        np.testing.assert_allclose(table.measures["area"], [(labels == 3).sum(), 40])
        np.testing.assert_allclose(table.measures["perimeter"][0], 20 * np.pi, rtol=0.05)
        assert table.measures["eccentricity"][0] < 0.1 < 0.8 < table.measures["eccentricity"][1]
        assert not table.is_corner


def test_no_cells_and_damage(tmp_path):
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "none.png")
    assert len(read_cells(tmp_path / "none.png")) == 0
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(CellError, match="bad.png"):
        read_cells(tmp_path / "bad.png")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[255, 0, 255]], "a mask: one value, 255, in 2 places, expected a number for each cell"),
        ([[-1, 1, -1]], "the value -1, expected numbers of cells"),
    ],
)
def test_masks_and_other_codes_are_no_labels(tmp_path, labels, said):
    tifffile.imwrite(tmp_path / "a.tif", np.array(labels, np.int32))
    with pytest.raises(CellError, match=said):
        read_cells(tmp_path / "a.tif")
