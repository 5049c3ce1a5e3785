"""Files of a segmentation: contours that keep what is in the masks."""

import json

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from cytomesh.analyze.layers.classes import TABLE
from cytomesh.analyze.layers.output import write_section
from cytomesh.analyze.layers.ribbon import Grid
from tests.analyze.layers.test_truth import SECTION


@pytest.mark.parametrize("width_px", [1.0, 1.3, 6.0])
def test_contours_of_thin_layers_keep_their_area_and_do_not_overlap(tmp_path, width_px):
    rows, columns = np.mgrid[:120, :120]
    inwards = (55 - np.hypot(rows - 60, 1.2 * (columns - 58))) / width_px
    painted = np.clip(np.floor(inwards) + 1, 0, 7).astype(np.uint8)
    write_section(tmp_path, SECTION, Grid(painted.shape, 4.0), painted, None)
    (path,) = (tmp_path / "contours").glob("*.geojson")
    drawn: dict[str, list] = {}
    for feature in json.loads(path.read_text())["features"]:
        drawn.setdefault(feature["properties"]["classification"]["name"], []).append(shape(feature["geometry"]))
    outlines = {name: shapely.union_all(parts) for name, parts in drawn.items()}
    assert outlines.keys() == set(TABLE.names)
    for index, name in zip(TABLE.indices, TABLE.names, strict=True):
        assert all(shapely.is_valid(drawn[name]))
        assert outlines[name].area == pytest.approx(16 * (painted == index).sum(), rel=0.04)
    together = shapely.union_all(list(outlines.values()))
    assert sum(outline.area for outline in outlines.values()) == pytest.approx(together.area, rel=1e-3)
    # QuPath counts from the pixel's corner: so do rows of the array
    there = np.flatnonzero((painted > 0).any(axis=1))
    assert together.bounds[1::2] == pytest.approx((4 * there[0], 4 * (there[-1] + 1)), abs=0.5)
