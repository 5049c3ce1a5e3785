"""Cells as values."""

import numpy as np
import pytest

from cytomesh.analyze.cells.table import CellTable, circularity, from_polygons, outline_polygons
from cytomesh.core.errors import CellError
from tests.analyze.cells.tables import disc


def test_some_of_the_cells_keep_all_that_is_known_of_them():
    table = CellTable(
        np.arange(6.0).reshape(3, 2),
        "um",
        True,
        {"area": np.arange(3.0)},
        "um",
        np.array([1, 2, 3], np.int8),
        np.array([7, 8, 9]),
        np.array(["a", "b", "c"]),
        um_per_px=0.5,
    )
    some = table.of(np.array([True, False, True]))
    assert some.places.tolist() == [[0, 1], [4, 5]] and some.measures["area"].tolist() == [0, 2]
    assert some.layer.tolist() == [1, 3] and some.section.tolist() == [7, 9] and some.brain.tolist() == ["a", "c"]
    assert (some.unit, some.is_corner, some.size_unit, some.um_per_px, some.image) == ("um", True, "um", 0.5, None)


def test_a_disc_is_circular_and_a_square_less_so():
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)
    table = from_polygons(outline_polygons("x", [disc(9, 8, 3), square]), is_corner=True)
    round_, angular = circularity(table.measures["area"], table.measures["perimeter"])
    assert round_ == pytest.approx(1, abs=1e-3) and angular == pytest.approx(np.pi / 4)
    assert np.isnan(circularity(np.ones(1), np.zeros(1)))[0]


def test_outlines_that_are_none_are_named(tmp_path):
    assert len(from_polygons(outline_polygons(tmp_path, []), is_corner=False)) == 0
    with pytest.raises(CellError, match="cell 2: found an outline of fewer than three points"):
        outline_polygons(tmp_path, [disc(1, 1, 1), np.ones((2, 2))])
    with pytest.raises(CellError, match="cell 1: found an outline that is not finite"):
        outline_polygons(tmp_path, [np.full((4, 2), np.nan)])
