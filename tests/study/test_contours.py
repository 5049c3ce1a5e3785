import gzip
import json
import time
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from cytomesh.core.errors import ContourError
from cytomesh.study.contours import HemisphereContours, SectionContours, parse_contours, read_contours, write_contours
from cytomesh.study.manifest import ContourSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

PLANE = SectionPlane(np.array([[0.1, 0, 0], [0, 0, 0], [0, -0.1, 0]]))
SQUARE = [[10.5, 10.5], [70.5, 10.5], [70.5, 50.5], [10.5, 50.5], [10.5, 10.5]]
BOW_TIE = [[10, 10], [60, 40], [60, 10], [10, 40], [10, 10]]


def section(path, image=None, **settings) -> Section:
    return Section("B01", 1, image, 100.0, PLANE, contours=path, contour_settings=ContourSettings(**settings))


def feature(name, ring, kind="Polygon") -> dict:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": [ring] if kind == "Polygon" else ring},
        "properties": {"classification": {"name": name}},
    }


def write(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_qupath_counts_from_the_corner(tmp_path):
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE))
    contours = read_contours(section(path))
    assert list(contours) == ["L"]
    assert contours["L"].pial.bounds == (10, 10, 70, 50)
    assert contours["L"].white.is_empty and contours.exclude.is_empty


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.booleans()), min_size=1, max_size=5, unique=True))
def test_round_trip_keeps_parts_and_holes(tmp_path_factory, cells):
    discs = {(x, y): Point(10 * x, 10 * y).buffer(4.3, 4) for x, y, _ in cells}
    for x, y, has_hole in cells:
        discs[x, y] = discs[x, y].difference(Point(10 * x, 10 * y).buffer(2.1)) if has_hole else discs[x, y]
    pial = MultiPolygon(list(discs.values()))
    white = MultiPolygon([disc.buffer(-0.5) for disc in discs.values()])
    written = SectionContours({"L": HemisphereContours(pial, white)}, MultiPolygon([box(1, 1, 3, 2)]))
    path = tmp_path_factory.mktemp("contours") / "c.geojson"
    write_contours(path, written)
    read = read_contours(section(path))
    assert set(read) == {"L"}
    pairs = ((read["L"].pial, pial), (read["L"].white, white), (read.exclude, written.exclude))
    for found, expected in pairs:
        assert found.symmetric_difference(expected).area < 1e-6
        assert len(found.geoms) == len(expected.geoms)


def test_both_hemispheres(tmp_path):
    path = tmp_path / "c.geojson"
    left, right = MultiPolygon([box(0, 0, 9, 9)]), MultiPolygon([box(20, 0, 29, 9)])
    write_contours(path, SectionContours({"L": HemisphereContours(left), "R": HemisphereContours(right)}))
    read = read_contours(section(path))
    assert read["R"].pial.equals(right) and read["L"].pial.equals(left) and len(read) == 2


def test_a_hemisphere_that_is_none_is_named(tmp_path):
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE))
    with pytest.raises(ContourError, match="hemispheres.*left.*expected 'L', 'R' or both"):
        read_contours(section(path), ("left",))


def test_ring_that_crosses_itself_is_refused_with_the_place(tmp_path):
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("white_L", BOW_TIE))
    message = r"feature 1 \('white_L'\): found ring crosses itself at \(35.0, 25.0\) px.*contours.repair: true"
    with pytest.raises(ContourError, match=message):
        read_contours(section(path))


def test_ring_that_crosses_itself_can_be_repaired(tmp_path):
    path = write(
        tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("white_L", [[x + 2, y + 2] for x, y in BOW_TIE])
    )
    white = read_contours(section(path, repair=True))["L"].white
    assert white.is_valid and len(white.geoms) == 2
    assert white.area == pytest.approx(750)


def test_ring_outside_its_image(study_folder, tmp_path):
    path = write(
        tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("pial_L", [[60, 5], [95, 5], [95, 20], [60, 5]])
    )
    with pytest.raises(ContourError, match=r"'pial_L': found ring over columns 60.0 to 95.0.*80 x 60 px, section1.png"):
        read_contours(section(path, image=study_folder.image(1)))


def test_ring_may_touch_the_border_of_its_image(study_folder, tmp_path):
    path = write(tmp_path / "c.geojson", feature("pial_L", [[0, 0], [80, 0], [80, 60], [0, 60], [0, 0]]))
    assert read_contours(section(path, image=study_folder.image(1)))["L"].pial.bounds == (-0.5, -0.5, 79.5, 59.5)


def test_white_outside_pial(tmp_path):
    path = write(
        tmp_path / "c.geojson",
        feature("pial_L", SQUARE),
        feature("white_L", [[60, 20], [80, 20], [80, 40], [60, 40], [60, 20]]),
    )
    with pytest.raises(
        ContourError, match=r"'white_L': found 47.5 % of the white matter outside the pial.*around \(75.2, 30.0\)"
    ):
        read_contours(section(path))


def test_a_little_white_outside_is_what_hands_draw(tmp_path):
    path = write(
        tmp_path / "c.geojson",
        feature("pial_L", SQUARE),
        feature("white_L", [[20, 20], [71, 20], [71, 40], [20, 40], [20, 20]]),
    )
    contours = read_contours(section(path))
    assert contours["L"].white.difference(contours["L"].pial).area > 0
    repaired = read_contours(replace(section(path), contour_settings=ContourSettings(repair=True)))
    assert repaired["L"].white.difference(repaired["L"].pial).area == 0


def test_white_without_pial_is_outside(tmp_path):
    path = write(tmp_path / "c.geojson", feature("white_L", SQUARE))
    with pytest.raises(ContourError, match=r"ring around \(40.5, 30.5\) px outside every pial ring"):
        read_contours(section(path))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (feature("pail_L", SQUARE), r"unknown class 'pail_L', expected one of pial_L, white_L.*did you mean 'pial_L'"),
        (
            {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}},
            "feature 0: found no classification",
        ),
        (feature("pial_L", SQUARE, "LineString"), "found a LineString, expected a closed ring"),
        (feature("pial_L", SQUARE[:2]), "a ring of 2 different points"),
        (feature("pial_L", SQUARE[:4]), r"an open ring: 40.0 px from its first point \(10.5, 10.5\).*repair: true"),
        (feature("pial_L", 3), "cannot be read"),
        (feature("pial_L", [[0, 0], [float("nan"), 1], [1, 1], [0, 0]]), "not finite"),
        (
            {"type": "Feature", "properties": {"classification": {"name": "pial_L"}}, "geometry": None},
            "without geometry",
        ),
    ],
)
def test_features_that_cannot_be_used(tmp_path, item, message):
    with pytest.raises(ContourError, match=message):
        read_contours(section(write(tmp_path / "c.geojson", item)))


def test_classes_can_be_renamed_and_ignored(tmp_path):
    path = write(tmp_path / "c.geojson", feature("Cortex left", SQUARE), feature("Tissue", BOW_TIE))
    contours = read_contours(section(path, classes={"Cortex left": "pial_L", "Tissue": "ignore"}))
    assert contours["L"].pial.area == 2400
    write(path, *(feature(name, ring) for name, ring in (("pial_L", SQUARE), ("V1", BOW_TIE), ("Ignore*", BOW_TIE))))
    assert read_contours(section(path, classes={"*": "ignore"}))["L"].pial.area == 2400
    with pytest.raises(ContourError, match="unknown class 'V1'"):
        read_contours(section(path))


def test_every_problem_is_found(tmp_path):
    path = write(
        tmp_path / "c.geojson", feature("pail_L", SQUARE), feature("pial_L", BOW_TIE), feature("pial_R", SQUARE)
    )
    contours, problems = parse_contours(section(path))
    assert [problem.place for problem in problems] == ["feature 0 ('pail_L')", "feature 1 ('pial_L')"]
    assert list(contours) == ["R"]


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ('{"a": 1}', "no list of features")])
def test_unreadable_files(tmp_path, text, message):
    path = tmp_path / "c.geojson"
    with pytest.raises(ContourError, match="no such file"):
        read_contours(section(path))
    path.write_text(text)
    with pytest.raises(ContourError, match=message):
        read_contours(section(path))
    with pytest.raises(ContourError, match="B01 section 1: found no contours"):
        read_contours(section(None))


def test_overlapping_parts_of_a_class_are_merged(tmp_path):
    path = tmp_path / "c.geojson"
    write(path, feature("pial_L", SQUARE), feature("pial_L", [[60, 20], [90, 20], [90, 30], [60, 30], [60, 20]]))
    pial = read_contours(section(path))["L"].pial
    assert isinstance(pial, MultiPolygon) and len(pial.geoms) == 1
    assert pial.area == pytest.approx(Polygon(SQUARE).union(box(60, 20, 90, 30)).area)


def test_hole_drawn_as_a_ring_of_its_own_is_refused(tmp_path):
    inner = [[20, 20], [40, 20], [40, 40], [20, 40], [20, 20]]
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("pial_L", inner))
    with pytest.raises(ContourError, match=r"'pial_L': found ring around \(30.0, 30.0\) px within another ring"):
        read_contours(section(path))
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("pial_R", inner), feature("exclude", inner))
    assert len(read_contours(section(path))) == 2


def test_open_ring_can_be_closed(tmp_path):
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE[:4]))
    assert read_contours(section(path, repair=True))["L"].pial.area == 2400


def test_small_white_ring_outside_every_pial_ring(tmp_path):
    """Too small for the share of the white matter's area to tell."""
    far = [[75, 5], [76, 5], [76, 6], [75, 6], [75, 5]]
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("white_L", SQUARE), feature("white_L", far))
    with pytest.raises(ContourError, match=r"'white_L': found ring around \(75.5, 5.5\) px outside every pial ring"):
        read_contours(section(path))


def test_a_sliver_of_white_matter_can_be_cut(tmp_path):
    far = [[75, 5], [76, 5], [76, 6], [75, 6], [75, 5]]
    path = write(tmp_path / "c.geojson", feature("pial_L", SQUARE), feature("white_L", SQUARE), feature("white_L", far))
    assert read_contours(section(path, repair=True))["L"].white.area == 2400
    # what is not little is no sliver
    write(path, feature("pial_L", SQUARE), feature("white_L", far))
    with pytest.raises(ContourError, match="100.0 % of the white matter outside the pial boundary"):
        read_contours(section(path, repair=True))


def test_rings_over_one_another_and_stars_take_seconds(tmp_path):
    rings = [[[x - i / 10, y - i / 10] for x, y in ((0, 0), (0, 60), (60, 60), (0, 0))] for i in range(20_000)]
    path = write(tmp_path / "c.geojson", *(feature("exclude", ring) for ring in rings))
    angles = np.pi * 3000 * np.arange(3002) / 3001
    star = np.stack([30 + 20 * np.cos(angles), 30 + 20 * np.sin(angles)], axis=1)
    star[-1] = star[0]
    stars = write(tmp_path / "stars.geojson", feature("pial_L", star.tolist()))
    start = time.process_time()
    with pytest.raises(ContourError, match=r"c.geojson: found rings within or over one another.*limit MAX_PAIRS"):
        read_contours(section(path))
    with pytest.raises(ContourError, match=r"stars.geojson: feature 0 .*more than 2,000 times.*limit MAX_CROSSINGS"):
        read_contours(section(stars, repair=True))
    assert time.process_time() - start < 30


def test_names_written_apart_by_macos(tmp_path):
    name = "Gro\u00dfhirn f\u00fcr links"
    composed, apart = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    for written, declared in ((apart, composed), (composed, apart)):
        path = write(tmp_path / "c.geojson", feature(written, SQUARE))
        assert len(read_contours(section(path, classes={declared: "pial_L"}))) == 1


def test_packed_geojson(tmp_path):
    path = tmp_path / "c.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps([feature("pial_L", SQUARE)]).encode()))
    assert read_contours(section(path))["L"].pial.area == 2400


def test_tissue_is_known_and_no_cortex(tmp_path):
    path = write(tmp_path / "c.geojson", feature("tissue", SQUARE))
    assert len(read_contours(section(path))) == 0


def test_multipolygons_with_holes_of_renamed_hemispheres_and_tissues(tmp_path):
    """QuPath writes derived annotations as one MultiPolygon, under the names that a laboratory gave its classes."""
    parts = [
        [[[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]], [[5, 5], [5, 9], [9, 9], [9, 5], [5, 5]]],
        [[[30, 0], [50, 0], [50, 20], [30, 20], [30, 0]]],
    ]
    inner = [[[[31, 1], [40, 1], [40, 10], [31, 10], [31, 1]]]]
    path = write(
        tmp_path / "c.geojson",
        feature("Cortex: left", parts, "MultiPolygon"),
        feature("WM: left", inner, "MultiPolygon"),
        feature("Cortex: right", [[[[60, 0], [70, 0], [70, 9], [60, 0]]]], "MultiPolygon"),
    )
    names = {"Cortex: left": "pial_L", "WM: left": "white_L", "Cortex: right": "pial_R"}
    contours = read_contours(section(path, classes=names))
    assert [len(polygon.interiors) for polygon in contours["L"].pial.geoms] == [1, 0]
    assert contours["L"].pial.area == 400 - 16 + 400 and contours["L"].white.area == 81
    assert contours["R"].pial.area == 45
