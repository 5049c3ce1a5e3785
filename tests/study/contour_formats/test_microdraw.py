import json

import numpy as np
import pytest
import shapely

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import microdraw
from cytomesh.study.contour_formats.microdraw import is_microdraw
from cytomesh.study.contours import read_contours

from .contour_section import section

SQUARE = [[10, 10], [70, 10], [70, 50], [10, 50]]
# a circle of radius 15 around (40, 30), as paper.js writes it: point, handle in, handle out
K = 15 * 4 / 3 * (np.sqrt(2) - 1)
CIRCLE = [
    [[25, 30], [0, K], [0, -K]],
    [[40, 15], [-K, 0], [K, 0]],
    [[55, 30], [0, -K], [0, K]],
    [[40, 45], [K, 0], [-K, 0]],
]


def path(segments, closed=True, **more):
    return ["Path", {"applyMatrix": True, "segments": segments, "closed": closed, **more}]


def region(name, drawn):
    return {"annotation": {"name": name, "uid": 1}, "path": drawn}


def write(file, *regions):
    file.write_text(json.dumps({"fileID": "x", "annotation": {"Regions": regions}}))
    return file


def test_curves_holes_and_matrices(tmp_path):
    compound = ["CompoundPath", {"children": [path(SQUARE), path(CIRCLE)]}]
    moved = path(SQUARE, matrix=[0.5, 0, 0, 0.25, 3, 4])
    file = write(tmp_path / "c.json", region("pial_L", compound), region("pial_R-2", moved))
    contours = read_contours(section(file, microdraw_px_per_unit=2.0))
    circle = shapely.Point(80, 60).buffer(30, 256)
    assert contours["L"].pial.area == pytest.approx(4 * 2400 - circle.area, rel=2e-3)
    assert len(contours["L"].pial.geoms[0].interiors) == 1
    assert contours["R"].pial.bounds == (15.5, 12.5, 75.5, 32.5)


def test_a_thousand_units_are_the_width_of_the_image(study_folder, tmp_path):
    file = write(tmp_path / "c.json", region("pial_L", path([[0, 0], [1000, 0], [1000, 500], [0, 500]])))
    assert read_contours(section(file, study_folder.image(1)))["L"].pial.bounds == (-0.5, -0.5, 79.5, 39.5)


@pytest.mark.parametrize(
    "document",
    [
        {"Regions": [region("pial_L", path(SQUARE))]},
        [{"annotation": {"name": "pial_L", "path": path(SQUARE)}, "user": "x"}],
    ],
)
def test_other_documents_of_the_program(tmp_path, document):
    file = tmp_path / "c.json"
    file.write_text(json.dumps(document))
    assert read_contours(section(file, microdraw_px_per_unit=1.0))["L"].pial.area == 2400


@pytest.mark.parametrize("document", [[], {}, 3, [{"geometry": {}}], {"annotation": {}}, {"annotation": [1]}])
def test_other_json_is_not_taken_for_it(document):
    assert not is_microdraw(document)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (region("pial_L", path(SQUARE, closed=False)), r"region 0 .'pial_L'.: found an open ring"),
        (region("pial_L", path([])), "a path without points"),
        (region("pial_L", ["Raster", {}]), "a path that cannot be read .a Raster"),
        (region("pial_L", path([[1, 2], ["x", 2]])), "a path that cannot be read"),
        (region("pial_L", path(SQUARE, matrix=[1, 2])), "a path that cannot be read"),
        (region("pail_L", path(SQUARE)), "unknown class 'pail_L'.*did you mean 'pial_L'"),
        ({}, "region 0: found no classification"),
        (7, "region 0: found no classification"),
    ],
)
def test_what_cannot_be_used(tmp_path, item, message):
    with pytest.raises(ContourError, match=message):
        read_contours(section(write(tmp_path / "c.json", item), microdraw_px_per_unit=1.0))


def test_limits(tmp_path, monkeypatch):
    file = write(tmp_path / "c.json", *[region("pial_L", path(CIRCLE))] * 3)
    monkeypatch.setattr(microdraw, "MAX_POINTS", 100)
    with pytest.raises(ContourError, match=r"region 2 .*curves of 4\d points, more than 1\d .limit MAX_POINTS"):
        read_contours(section(file, microdraw_px_per_unit=1.0))
    monkeypatch.setattr(microdraw, "MAX_FEATURES", 2)
    with pytest.raises(ContourError, match="limit MAX_FEATURES"):
        read_contours(section(file, microdraw_px_per_unit=1.0))
