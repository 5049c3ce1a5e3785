"""What is left out of the count, and how much a cell counts."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from cytomesh.analyze.cells.count import excluded, weights
from cytomesh.analyze.cells.sections import SectionCells
from cytomesh.analyze.cells.volume import SectionVolume
from cytomesh.core.errors import CellError
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from tests.analyze.cells.conftest import settings

SECTION = Section("B01", 3, None, 100.0, SectionPlane(np.array([(0.1, 0, 0), (0, 0, -0.1), (0, 0, 0)]).T))


def square(low, high):
    return shapely.MultiPolygon([shapely.box(low, low, high, high)])


def test_what_contours_exclude_is_not_counted(tmp_path):
    pixels = np.array([(30.0, 30.0), (55.0, 55.0)])
    assert not excluded(SECTION, pixels).any()
    path = tmp_path / "contours.geojson"
    write_contours(path, SectionContours({"L": HemisphereContours(square(10, 90), square(40, 60))}, square(20, 35)))
    assert excluded(replace(SECTION, contours=path), pixels).tolist() == [True, False]


def test_cells_weigh_less_by_their_own_diameter():
    cells = SectionCells(np.zeros((2, 2)), {"diameter_um": np.array([20.0, 5.0])}, None, 2, 0, 0)
    corrected = settings(volume={"overcount": "abercrombie"})
    np.testing.assert_allclose(weights(SECTION, cells, SectionVolume(20.0), corrected), [0.5, 0.8])
    np.testing.assert_allclose(weights(SECTION, cells, SectionVolume(20.0), settings()), 1)
    with pytest.raises(CellError, match=r"unknown thickness.*set volume.section_um"):
        weights(SECTION, cells, SectionVolume(None), corrected)
    for measures in ({}, {"diameter_um": np.array([20.0, np.nan])}):
        with pytest.raises(CellError, match="cells without an area"):
            weights(SECTION, replace(cells, measures=measures), SectionVolume(20.0), corrected)
