from pathlib import Path

import numpy as np
import shapely

from cytomesh.graph.inputs import SectionInput
from cytomesh.graph.objections import said, stack_objections
from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section


def stack(left_px, right_px, n=6):
    """Sections 1 mm apart, 0.1 mm pixels, with a disc a hemisphere around these columns."""
    inputs = []
    for index in range(n):
        plane = SectionPlane(np.array([[0.1, 0.0, 0.0], [0.0, 0.0, float(index)], [0.0, -0.1, 0.0]]))
        rings = {
            side: HemisphereContours(shapely.MultiPolygon([shapely.Point(x, 100).buffer(40)]), shapely.MultiPolygon())
            for side, x in (("L", left_px), ("R", right_px))
        }
        inputs.append(SectionInput(Section("B01", index, None, 100.0, plane), plane, SectionContours(rings)))
    return inputs


def test_exchanged_hemispheres_are_said_with_the_way_out():
    assert stack_objections(Path("study.yaml"), stack(100, 250)) == []
    (line,) = stack_objections(Path("study.yaml"), stack(250, 100))
    assert "left hemisphere right of the right one, by 15.0 mm" in line and "exchange pial_L and pial_R" in line


def test_only_a_few_are_said():
    lines = [str(i) for i in range(7)]
    assert said(lines[:5], Path("s.yaml")) == lines[:5]
    assert said(lines, Path("s.yaml"))[5:] == ["and 2 more: 'cytomesh study check s.yaml' lists them"]
