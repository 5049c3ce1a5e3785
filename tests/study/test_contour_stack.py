from dataclasses import replace

import numpy as np
import pytest
import shapely
from shapely.affinity import affine_transform, rotate, scale, translate
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.study.contour_stack import check_stack, check_white
from cytomesh.study.contours import HemisphereContours, SectionContours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

# Nothing in it is symmetrical: like one hemisphere of a coronal section.
SHAPE = Polygon([(10, 10), (60, 5), (70, 30), (45, 35), (50, 55), (20, 50), (12, 30)])
CENTRE = 40.0


def section(index, um=100.0):
    plane = SectionPlane(np.array([[um / 1000, 0, -4.0], [0, 0, 0.5 * index], [0, -um / 1000, 3.0]]))
    return Section("B01", index, None, um, plane)


def stack(n=6, change=None):
    """Sections that grow by 3 % each; `change` maps the position in the stack to a function of the pial region."""
    sections, contours = [], []
    for i in range(n):
        region = scale(SHAPE, 1 + 0.03 * i, 1 + 0.03 * i)
        region = (change or {}).get(i, lambda shape: shape)(region)
        sections.append(section(i + 1))
        contours.append(SectionContours({"L": HemisphereContours(MultiPolygon([region]))}))
    return sections, contours


def flip(shape):
    return affine_transform(shape, (-1, 0, 0, 1, 2 * CENTRE, 0))


def test_a_good_stack_has_no_problem():
    report = check_stack(*stack())
    assert report.problems == () and report.notes == ()


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_mirrored_rings_are_found_and_their_neighbours_are_not(at):
    report = check_stack(*stack(change={at: flip}))
    assert [index for index, _ in report.problems] == [at + 1]
    assert "if flipped left-right (columns)" in str(report.problems[0][1])


def test_an_all_but_symmetrical_section_upside_down_is_found_where_its_neighbours_agree():
    """A disc with a bump: turned, it fits by 0.1 less, and its neighbours fit each other better than it fits them."""
    bump = shapely.union(shapely.Point(40, 30).buffer(16), shapely.Point(50, 40).buffer(6))
    turned = [scale(bump, 1 + 0.03 * i, 1 + 0.03 * i) for i in range(6)]
    assert check_stack(*stack(change={i: lambda _, i=i: turned[i] for i in range(6)})).problems == ()
    turned[3] = rotate(turned[3], 180, "center")
    ((index, problem),) = check_stack(*stack(change={i: lambda _, i=i: turned[i] for i in range(6)})).problems
    assert index == 4 and "if turned by 180 degrees" in problem.found


@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_to_world_is_found(axis):
    sections, contours = stack()
    matrix = sections[3].plane.to_world.copy()
    matrix[:, 2] += 2 * CENTRE * matrix[:, axis]
    matrix[:, axis] *= -1
    sections[3] = replace(sections[3], plane=SectionPlane(matrix))
    ((index, problem),) = check_stack(sections, contours).problems
    assert index == 4 and ("left-right", "top-bottom")[axis] in problem.found


def test_both_hemispheres_with_the_sides_exchanged():
    left = shapely.box(5, 5, 38, 60).difference(shapely.box(5, 40, 20, 60))
    right = flip(left)
    sections = [section(i) for i in range(1, 6)]
    good = SectionContours(
        {"L": HemisphereContours(MultiPolygon([left])), "R": HemisphereContours(MultiPolygon([right]))}
    )
    bad = SectionContours({"L": good["R"], "R": good["L"]})
    report = check_stack(sections, [good, good, bad, good, good])
    ((index, problem),) = report.problems
    assert index == 3
    assert "exchanged in name only" in problem.found
    assert problem.hint.startswith("exchange pial_L and pial_R, white_L and white_R")


@pytest.mark.parametrize(
    "change", [lambda s: translate(s, 25, 10), lambda s: scale(s, 1.3, 0.9), lambda s: scale(s, 0.2, 0.2)]
)
def test_shifted_stretched_and_small_sections_are_not_mirrored(change):
    assert check_stack(*stack(change={3: change})).problems == ()


def test_symmetrical_sections_say_nothing():
    disc = SectionContours({"L": HemisphereContours(MultiPolygon([shapely.Point(40, 30).buffer(20)]))})
    assert check_stack([section(i) for i in range(5)], [disc] * 5).problems == ()


def test_micrometres_among_sections_in_pixels():
    report = check_stack(*stack(change={2: lambda s: scale(s, 100, 100, origin=(0, 0))}))
    ((index, problem),) = report.problems
    assert index == 3
    assert (
        "the coordinates look like micrometres" in problem.found
        and "divide the coordinates by um_per_px (100)" in problem.hint
    )


def test_wrong_pixel_size_among_others():
    report = check_stack(*stack(change={2: lambda s: scale(s, 8, 8, origin=(0, 0))}))
    assert [problem.hint for _, problem in report.problems] == ["check um_per_px and to_world"]


def test_duplicate_plane_is_named():
    sections, contours = stack()
    sections[2] = replace(sections[2], plane=sections[1].plane)
    ((index, problem),) = check_stack(sections, contours).problems
    assert index == 3 and "the plane of section 2 once more (1.000 mm)" in problem.found


def test_sections_without_cortex_are_allowed_and_reported():
    sections, contours = stack()
    contours[5], contours[2] = SectionContours({}), None
    report = check_stack(sections, contours)
    assert report.problems == () and report.notes == ((6, "no cortex drawn in this section"),)
    assert check_stack([], []).problems == ()


@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_plane_across_the_others_is_not_compared(at):
    """In its pixels the others' rings are lines, and theirs are in its."""
    sections, contours = stack()
    matrix = sections[at].plane.to_world.copy()
    matrix[:2, 0] = matrix[1::-1, 0]
    sections[at] = replace(sections[at], plane=SectionPlane(matrix))
    assert check_stack(sections, contours).problems == ()


def test_white_matter_is_missed_where_there_is_none_at_all(tmp_path):
    sections, contours = stack()
    table = tmp_path / "sections.tsv"
    (problem,) = check_white(table, ("L", "R"), sections, contours)
    assert problem.source == str(table) and problem.place == "hemisphere L"
    contours[3] = SectionContours({"L": replace(contours[3]["L"], white=contours[3]["L"].pial)})
    assert check_white(table, ("L", "R"), sections, contours) == []


def test_nothing_is_said_of_white_matter_where_a_section_is_at_fault(tmp_path):
    sections, contours = stack()
    sections[2], contours[2] = replace(sections[2], contours=tmp_path / "c.geojson"), None
    assert check_white(tmp_path, ("L",), sections, contours) == []


@pytest.mark.parametrize("by_mm", [1.5, 20.0])
def test_a_section_beside_its_neighbours_is_named(by_mm):
    sections, contours = stack(9)
    matrix = sections[4].plane.to_world.copy()
    matrix[0, 2] += by_mm
    sections[4] = replace(sections[4], plane=SectionPlane(matrix))
    ((index, problem),) = check_stack(sections, contours).problems
    assert index == 5 and "beside those of sections 4 and 6" in problem.found


def test_a_stack_that_is_not_aligned_has_no_problem():
    rng = np.random.default_rng(0)
    sections, contours = stack(12)
    for i, item in enumerate(sections):
        matrix = item.plane.to_world.copy()
        matrix[[0, 2], 2] += rng.uniform(-0.8, 0.8, 2)
        sections[i] = replace(item, plane=SectionPlane(matrix))
    assert check_stack(sections, contours).problems == ()


def test_exchanged_sections_are_named():
    shapes = {i: lambda _, i=i: scale(shapely.box(20, 20, 60, 50), 1 - 0.08 * i, 1 + 0.08 * i) for i in range(10)}
    sections, contours = stack(10, shapes)
    assert check_stack(sections, contours).problems == ()
    contours[2], contours[6] = contours[6], contours[2]
    problems = check_stack(sections, contours).problems
    assert [index for index, _ in problems] == [3, 7]
    assert "in the place of section 7" in problems[0][1].found
