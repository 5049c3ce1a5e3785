from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point

from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.extent import check_extent, check_hemispheres
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

TABLE = Path("sections.tsv")


def ball(step_mm=10.0, sections=range(-5, 6), side="L", centre_px=600):
    """Coronal sections of a ball of 55 mm radius, 10 mm apart, drawn in pixels of 0.1 mm; planes `step_mm` apart."""
    found, contours = [], []
    for k in sections:
        plane = SectionPlane(np.array([[0.1, 0, -60.0], [0, 0, step_mm * k], [0, -0.1, 60.0]]))
        radius = 10 * np.sqrt(55.0**2 - (10 * k) ** 2)
        pial = MultiPolygon([Point(centre_px, 600).buffer(radius)])
        found.append(Section("B", k + 10, None, 100.0, plane, Path(f"{k}.geojson")))
        contours.append(SectionContours({side: HemisphereContours(pial)} if side else {}))
    return found, contours


@pytest.mark.parametrize("step_mm", [4.0, 10.0, 30.0])
def test_brains_of_any_shape_pass(step_mm):
    assert check_extent(TABLE, "B", *ball(step_mm)) == []


@pytest.mark.parametrize("sections", [range(0, 4), range(-5, 0), range(0, 1)])
def test_blocks_pass(sections):
    assert check_extent(TABLE, "B", *ball(10.0, sections)) == []
    assert check_extent(TABLE, "B", *ball(0.1, sections)) == []


@pytest.mark.parametrize(
    ("step_mm", "found"), [(10_000.0, "100,000 mm"), (1.0, "over 10.0 mm, and"), (60.0, "sections over 600 mm")]
)
def test_positions_of_another_unit_are_named(step_mm, found):
    (problem,) = check_extent(TABLE, "B", *ball(step_mm))
    assert found in problem.found and "to_world" in problem.place


def test_hemispheres_that_nobody_drew_are_named():
    assert check_hemispheres(TABLE, ["L"], *ball()) == []
    (problem,) = check_hemispheres(TABLE, ["L"], *ball(side="R"))
    assert problem.found == "no pial_L in any of 11 contour files, but pial_R in 11"
    (problem,) = check_hemispheres(TABLE, ["L", "R"], *ball(side=""))
    assert problem.found == "no pial_L and pial_R in any of 11 contour files"
    sections, contours = ball(side="R")
    assert check_hemispheres(TABLE, ["L"], sections, [None, *contours[1:]]) == []
