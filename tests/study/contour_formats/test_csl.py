import pytest

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import csl
from cytomesh.study.contours import read_contours

from .contour_section import section

LABELS = {"pial_L": [0, 1], "white_L": [1]}
# Plane 2 is where the section is: columns run along x from -4 mm, rows along -z from 3 mm, 0.1 mm a pixel.
PLANES = """CSLC
2 3

1 3 1 0.0 1.0 0.0 -1.0
0 1 0
1 1 0
0 1 1
3 0 0 1 2

2 12 3 0.0 1.0 0.0 -1.5
-3 1.5 2
3 1.5 2
3 1.5 -2
-3 1.5 -2
-2 1.5 1
-1 1.5 1
-1 1.5 0
-2 1.5 0
0 1.5 1
2 1.5 1
2 1.5 -1
0 1.5 -1
4 0 0 1 2 3
4h0 0 4 5 6 7
4 1 8 9 10 11
"""


def write(path, text=PLANES):
    path.write_text(text)
    return path


def test_the_sections_plane_is_read_with_its_holes(tmp_path):
    contours = read_contours(section(write(tmp_path / "brain.csl"), labels=LABELS))
    pial, white = contours["L"].pial, contours["L"].white
    assert pial.bounds == pytest.approx((10, 10, 70, 50))
    assert pial.area == pytest.approx(60 * 40 - 100) and len(pial.geoms[0].interiors) == 1
    assert white.bounds == pytest.approx((40, 20, 60, 40))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" 1.5 ", " 1.7 ", r"no plane at the place of B01 section 1; the nearest, 2, is 0.200 mm off"),
        ("CSLC", "OFF", "line 1: found OFF, expected the header CSLC"),
        ("4 1 8 9 10 11", "4 2 8 9 10 11", r"labels \[2\] that no class takes"),
        ("4 1 8 9 10 11", "4 1 8 9 10 12", "each from 0 to 11"),
        ("4 1 8 9 10 11", "4 1 8 9 10", "4 vertex numbers|component of 3 vertex numbers, declared 4"),
        ("4 1 8 9 10 11\n", "", "plane 2: found a file that ends early"),
        ("2 3\n", "5 3\n", "ends early"),
        ("-3 1.5 -2\n", "-3 1.5 x\n", "a line that cannot be read"),
        ("-3 1.5 -2\n", "nan 1.5 -2\n", "no plane at the place|not finite"),
        ("2 12 3 0.0", "2 12 0.0", "plane 2: found '2 12 0.0 1.0 0.0 -1.5', expected 7 numbers"),
    ],
)
def test_what_cannot_be_used(tmp_path, old, new, message):
    assert old in PLANES
    with pytest.raises(ContourError, match=message):
        read_contours(section(write(tmp_path / "brain.csl", PLANES.replace(old, new)), labels=LABELS))


def test_labels_to_ignore(tmp_path):
    path = write(tmp_path / "brain.csl", PLANES.replace("4 1 8 9 10 11", "4 2 8 9 10 11"))
    contours = read_contours(section(path, labels={"pial_L": [0, 1], "white_L": [1], "ignore": [2]}))
    assert contours["L"].pial.area == pytest.approx(60 * 40 - 100) and contours["L"].white.is_empty


def test_duplicate_plane(tmp_path):
    head, first, second = PLANES.split("\n\n")
    text = "\n\n".join([head.replace("2 3", "3 3"), first, second.rstrip(), second])
    with pytest.raises(ContourError, match=r"planes 2, 3 all at the place of B01 section 1, expected one plane"):
        read_contours(section(write(tmp_path / "brain.csl", text), labels=LABELS))


def test_missing_file_meaning_and_limit(tmp_path, monkeypatch):
    path = tmp_path / "brain.csl"
    with pytest.raises(ContourError, match="no such file"):
        read_contours(section(path, labels=LABELS))
    with pytest.raises(ContourError, match="labels without a meaning, expected contours.labels"):
        read_contours(section(write(path)))
    monkeypatch.setattr(csl, "MAX_POINTS", 5)
    with pytest.raises(ContourError, match="limit MAX_POINTS"):
        read_contours(section(write(path, PLANES + "\n"), labels=LABELS))
