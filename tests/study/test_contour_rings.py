from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_rings import check_sizes, ring_fault
from cytomesh.study.contours import HemisphereContours, SectionContours, read_contours, write_contours
from cytomesh.study.manifest import ContourSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

PLANE = SectionPlane(np.array([[0.1, 0, 0], [0, 0, 0], [0, -0.1, 0]]))
TRIANGLE = np.array([[0.0, 0], [4, 0], [4, 3], [0, 0]])


@pytest.mark.parametrize(
    ("ring", "fault"),
    [
        (TRIANGLE, ""),
        (TRIANGLE[:3], "an open ring: 5.0 px from its first point (0.0, 0.0) to its last (4.0, 3.0)"),
        (TRIANGLE[[0, 1, 0, 0]], "a ring of 2 different points"),
        (TRIANGLE[[0, 0, 0]], "a ring of 1 different point"),
        (np.empty((0, 2)), "a ring of 0 different points"),
        (TRIANGLE * np.nan, "coordinates that are not finite"),
        (TRIANGLE * 1e10, "coordinates that are not finite"),
    ],
)
def test_faults_of_rings(ring, fault):
    assert ring_fault(ring, may_close=False) == fault
    assert (ring_fault(ring, may_close=True) == "") == (fault == "" or fault.startswith("an open"))


def write(path, region):
    write_contours(path, SectionContours({"L": HemisphereContours(MultiPolygon([region]))}))
    return path


def test_micrometres_declared_as_pixels_of_an_image(study_folder, tmp_path):
    path = write(tmp_path / "c.geojson", box(1000, 1000, 7000, 5000))
    section = Section("B01", 1, study_folder.image(1), 100.0, PLANE, contours=path)
    message = (
        r"found rings to column 7000, row 5000, expected pixels of the image \(80 x 60 px.*divide by um_per_px \(100"
    )
    with pytest.raises(ContourError, match=message):
        read_contours(section)


def test_micrometres_without_an_image_are_larger_than_any_brain(tmp_path):
    path = write(tmp_path / "c.geojson", box(1000, 1000, 70000, 50000))
    with pytest.raises(
        ContourError, match=r"found rings over 6,900 mm, expected at most 600 mm.*look like micrometres"
    ):
        read_contours(Section("B01", 1, None, 100.0, PLANE, contours=path))


def test_another_pyramid_level_is_not_taken_for_micrometres(study_folder, tmp_path):
    section = Section("B01", 1, study_folder.image(1), 100.0, PLANE, contours=tmp_path / "c.geojson")
    problems = check_sizes(section, {"pial_L": [box(10, 10, 140, 100)], "white_L": [box(20, 20, 60, 40)]})
    assert [problem.place for problem in problems] == ["'pial_L'"] and "another pyramid level" in problems[0].hint


@pytest.mark.parametrize(("over", "is_clipped"), [(4.0, True), (12.0, False)])
def test_rings_a_few_pixels_outside_the_image_are_clipped_under_repair(study_folder, tmp_path, over, is_clipped):
    path = write(tmp_path / "c.geojson", box(-over, 10, 40, 60 + over))
    section = Section("B01", 1, study_folder.image(1), 100.0, PLANE, contours=path)
    with pytest.raises(ContourError, match="rings within the image"):
        read_contours(section)
    repaired = replace(section, contour_settings=ContourSettings(repair=True))
    if is_clipped:
        # the image is 80 x 60 px; pixel centres are at integers
        assert read_contours(repaired)["L"].pial.equals(box(-0.5, 10, 40, 59.5))
    else:
        with pytest.raises(ContourError, match="rings within the image"):
            read_contours(repaired)
