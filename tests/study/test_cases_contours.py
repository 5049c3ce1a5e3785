"""Files as other programs write them, each once misread or refused: read right now, or refused by name.

The files are under `tests/data/cases`, made from nothing after the conventions of the program; most draw one ellipse of
pial (6,265.2 px2) and one of white matter (2,584.4 px2) within it, in an image of 160 x 160 px.
"""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cytomesh.study.contours import parse_contours
from cytomesh.study.manifest import ContourSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, read_sections

CASES = Path(__file__).parents[1] / "data" / "cases"
PLANE = SectionPlane(np.array([[0.1, 0, -8.0], [0, 0, 0], [0, -0.1, 8.0]]))
PIAL, WHITE = 6265.2, 2584.4


@dataclass
class Case:
    """A file, and its pial and white area and number of pial parts, or what the one problem found in it says."""

    file: str
    pial: float = PIAL
    white: float = WHITE
    parts: int = 1
    left: float = 19.5
    problem: str = ""
    hint: str = ""
    settings: dict = field(default_factory=dict)


READ = [
    Case("03-geojson-names/s2.geojson"),
    Case("06-geojson-single-feature/s2.geojson", white=0),
    Case("08-geojson-childobjects/s2.geojson"),
    Case("10-geojson-class-string/s2.geojson"),
    Case("15-roi-duplicate-members/s2.zip", white=1503.7, parts=2, left=14.5),
    Case("17-roi-paren-number/s2.zip", white=0, parts=2, left=14.5),
    Case("F1-svg-illustrator-names/s1.svg"),
    Case("F3-svg-viewbox-mm/s1.svg", settings={"svg_px_per_unit": 3.77956}),
    Case("F4b-svg-visibility-hidden-one/s1.svg"),
    Case("F6-svg-nested-svg/s1.svg", left=39.5),
    Case("I0-microdraw/s1.json", white=0, settings={"microdraw_px_per_unit": 1.0}),
    # MicroDraw's own unit: a thousandth of the image's width
    Case("I0-microdraw/s1.json", pial=PIAL * 0.16**2, white=0, left=20 * 0.16 - 0.5),
]
REFUSED = [
    Case(
        "01-geojson-plane/s2.geojson",
        problem="objects on 2 planes of a stack: z = 0, t = 0 (2); z = 3, t = 0 (2)",
        hint="export those of the plane",
    ),
    Case("02a-geojson-empty-polygon/s2.geojson", problem="a Polygon without a ring", hint="delete it"),
    Case(
        "F3-svg-viewbox-mm/s1.svg",
        problem="a page of 42.333 x 42.333 px at (0, 0), by 1 px per unit",
        hint="set contours.svg_px_per_unit: 3.77956",
    ),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "s.png"
    Image.fromarray(np.zeros((160, 160), np.uint8)).save(path)
    return path


def read(path, image=None, **settings):
    return parse_contours(Section("B01", 1, image, 100.0, PLANE, path, contour_settings=ContourSettings(**settings)))


@pytest.mark.parametrize("case", READ, ids=lambda case: case.file.split("/")[0])
def test_read_right(case, image):
    contours, problems = read(CASES / case.file, image, **case.settings)
    assert problems == [] and list(contours) == ["L"]
    rings = contours["L"]
    assert rings.pial.area == pytest.approx(case.pial, rel=2e-4)
    assert rings.white.area == pytest.approx(case.white, rel=2e-4)
    assert len(rings.pial.geoms) == case.parts and rings.pial.bounds[0] == pytest.approx(case.left, abs=0.01)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.file.split("/")[0])
def test_refused_by_name(case, image):
    _, problems = read(CASES / case.file, image, **case.settings)
    assert [problem.found for problem in problems] == [case.problem]
    assert problems[0].source == str(CASES / case.file) and case.hint in problems[0].hint


def test_microdraw_without_an_image_has_no_unit():
    path = CASES / "I0-microdraw" / "s1.json"
    (problem,) = read(path)[1]
    assert problem.source == str(path) and "contours.microdraw_px_per_unit" in problem.expected


def test_a_table_saved_by_excel():
    sections = read_sections(CASES / "A0-tsv-excel-quotes" / "sections.tsv", "B01")
    assert [section.plane.to_world[1, 2] for section in sections] == [0, 1, 2]


def test_what_macos_adds_to_archives(tmp_path):
    """As the Finder's "Compress" writes them: beside each member a resource fork that is no ROI."""
    content = (CASES / "17-roi-paren-number" / "s2.zip").read_bytes()
    path = tmp_path / "RoiSet.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            target.writestr(f"rois/{info.filename}", source.read(info))
            target.writestr(f"__MACOSX/rois/._{info.filename}", b"\0\5\26\7resource fork")
            target.writestr(f"rois/._{info.filename}", b"\0\5\26\7resource fork")
    contours, problems = read(path)
    assert problems == [] and contours["L"].pial.area == pytest.approx(PIAL, rel=2e-4)
