from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, box

from cytomesh.study.annotation import AnnotationImage
from cytomesh.study.annotation_fit import check_orientation, look_at_annotation
from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

PLANE = SectionPlane(np.array([[0.1, 0, 0], [0, 0, 0], [0, -0.1, 0]]))


def shares(turn, is_both=False):
    """One hemisphere drawn in the upper left; labels in it (and in the other one), turned."""
    section = Section("B", 1, None, 100.0, PLANE, annotation=Path("a.png"))
    drawn = HemisphereContours(MultiPolygon([box(5, 5, 45, 35)]), MultiPolygon([box(12, 12, 38, 28)]))
    labels = np.zeros((30, 50), np.int32)
    labels[3:17, 3:22] = 1
    labels[6:14, 6:19] = 0
    if is_both:
        labels |= labels[:, ::-1]
    image = AnnotationImage(turn(labels), 200.0, 100.0)
    return section, look_at_annotation(section, image, SectionContours({"L": drawn}))[1]


TURNS = {
    "mirrored (columns)": lambda a: a[:, ::-1],
    "upside down (rows)": lambda a: a[::-1],
    "turned by 180 degrees": lambda a: a[::-1, ::-1],
}


@pytest.mark.parametrize("is_both", [False, True])
def test_good_annotations_pass(is_both):
    section, share = shares(lambda a: a, is_both)
    assert share[0] > (0.45 if is_both else 0.9)
    assert check_orientation(Path("t"), [section] * 3, [share, share, None]) == []


@pytest.mark.parametrize("name", TURNS)
def test_turned_annotations_are_said_once(name):
    section, share = shares(TURNS[name])
    (problem,) = check_orientation(Path("t"), [section] * 4, [share] * 4)
    assert problem.source == "t" and f"if they were {name}" in problem.found


def test_a_single_turned_annotation_is_named():
    section, good = shares(lambda a: a)
    bad = shares(TURNS["mirrored (columns)"])[1]
    (problem,) = check_orientation(Path("t"), [section] * 9, [good] * 8 + [bad])
    assert problem.source == "a.png" and "if it were mirrored" in problem.found
