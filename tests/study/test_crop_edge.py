"""Rings along the edge of a cropped image are a warning, unless they are near enough to count as cut, or a crown."""

import numpy as np
import pytest
import shapely
from PIL import Image
from shapely.affinity import scale, translate
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.crop_edge import check_crop_edge
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

HEIGHT, WIDTH = 800, 1000


def found(tmp_path, pial, cut=None):
    section = Section("B01", 3, None, 50.0, SectionPlane(np.eye(3)), contours=tmp_path / "s.geojson")
    rings = {"L": HemisphereContours(MultiPolygon([pial]), MultiPolygon())}
    contours = SectionContours(rings, cut=MultiPolygon([cut] if cut else []))
    return check_crop_edge(section, (HEIGHT, WIDTH), contours)


def block(inset, wobble=0.0):
    """An arc of pial surface above; cut left, right and below, drawn by a hand that is not steady."""
    arc = shapely.Point(500, 700).buffer(600, 64)
    edge = shapely.box(inset - 0.5, 100, WIDTH - 0.5 - inset, HEIGHT - 0.5 - inset).segmentize(20)
    points = shapely.get_coordinates(edge)
    steps = wobble * np.random.default_rng(0).uniform(-1, 1, points.shape)
    return Polygon(points + steps).intersection(arc)


@pytest.mark.parametrize(("inset", "wobble"), [(4, 0), (5, 0.9), (3, 2.5)])
def test_rings_a_few_pixels_inside_are_named(tmp_path, inset, wobble):
    (problem,) = found(tmp_path, block(inset, wobble))
    assert problem.place == "B01 section 3" and "2 to 6 pixels" in problem.found and "class cut" in problem.hint


@pytest.mark.parametrize("inset", [0, 1, 2, 20])
def test_rings_on_the_border_or_well_inside_are_not(tmp_path, inset):
    assert found(tmp_path, block(inset)) == []


def test_crowns_and_what_is_marked_as_cut_are_not(tmp_path):
    crown = scale(shapely.Point(0, 0).buffer(1, 256), WIDTH / 2 - 3, HEIGHT / 2 - 3)
    assert found(tmp_path, translate(crown, WIDTH / 2, HEIGHT / 2)) == []
    frame = shapely.box(0, 0, WIDTH, HEIGHT)
    assert found(tmp_path, block(4), frame.exterior.buffer(10)) == []


def test_study_check_warns_and_passes(study_folder, cytomesh):
    """Three sections of 200 x 200 pixels: one warning of all, and nothing that fails."""
    assert "warning" not in cytomesh("study", "check", study_folder.manifest)[1]
    for index in (1, 2, 4):
        pixels = np.random.default_rng(index).integers(0, 256, (200, 200), np.uint8)
        Image.fromarray(pixels).save(study_folder.image(index))
        rings = HemisphereContours(
            MultiPolygon([shapely.box(4, 4, 150, 150)]), MultiPolygon([shapely.box(20, 20, 120, 120)])
        )
        write_contours(study_folder.contours(index), SectionContours({"L": rings}))
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(study_folder.folder / "sub-B01" / "areas2.png")
    code, out, _ = cytomesh("study", "check", study_folder.manifest)
    assert code == 0, out
    assert "No problem found.\n\n3 warnings:\n1. (3 times)" in out and out.count("which counts as cortex") == 1
