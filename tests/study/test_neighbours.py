"""Faults that only a section's neighbours show: each is named once, in a study on disk that is right otherwise."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import yaml
from shapely.affinity import affine_transform, scale
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.study.check import check_study
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.neighbours import check_neighbours, undrawn_between
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections

# Nothing in it is symmetrical: like one hemisphere of a coronal section.
SHAPE = Polygon([(10, 10), (60, 5), (70, 30), (45, 35), (50, 55), (20, 50), (12, 30)])
WIDTH, HEIGHT = 80, 60
N_SECTIONS = 20
TABLE = Path("sections.tsv")


def body(n=N_SECTIONS):
    """Return sections 1 to n, 0.5 mm apart, of a body that begins and ends in a point; white in the middle of it."""
    sections, contours = [], []
    for k in range(n):
        plane = SectionPlane(np.array([[0.1, 0, -4.0], [0, 0, 0.5 * k], [0, -0.1, 3.0]]))
        sections.append(Section("B01", k + 1, None, 100.0, plane))
        at = (2 * k + 1) / n - 1
        pial, white = (np.sqrt(max(1 - (at / end) ** 2, 0.0)) for end in (1.0, 0.8))
        contours.append(SectionContours({"L": HemisphereContours(multi(pial), multi(0.7 * white))}))
    return sections, contours


def multi(size):
    return MultiPolygon([scale(SHAPE, size, size)] if size > 0 else [])


def changed(contours, k, function, boundaries=("pial", "white")):
    """Return the contours with some boundaries of section k + 1 changed."""
    rings = {name: function(getattr(contours[k]["L"], name)) for name in boundaries}
    return [*contours[:k], SectionContours({"L": replace(contours[k]["L"], **rings)}), *contours[k + 1 :]]


def without(region):
    return MultiPolygon()


def torn(region):
    """Return a region without what lies right of column 45 and below row 28."""
    left = region.difference(shapely.box(45, 0, WIDTH, 28))
    return MultiPolygon([part for part in getattr(left, "geoms", [left]) if isinstance(part, Polygon)])


def turned(region):
    return affine_transform(region, (-1, 0, 0, -1, WIDTH, HEIGHT))


def check(folder, sections, contours):
    """Write the study and return its problems as (file, place, found)."""
    for k, (section, item) in enumerate(zip(sections, contours, strict=True)):
        if item is not None:
            sections[k] = replace(section, contours=folder / f"{section.index}.geojson")
            write_contours(folder / f"{section.index}.geojson", item)
    write_sections(folder / "sections.tsv", sections)
    brain = {"id": "B01", "role": "train", "hemispheres": ["L"], "sections": "sections.tsv"}
    manifest = {"name": "body", "species": "none", "stain": "none", "space": {"name": "own"}, "brains": [brain]}
    (folder / "study.yaml").write_text(yaml.safe_dump(manifest))
    problems = check_study(folder / "study.yaml").problems
    return [(Path(problem.source).name, problem.place, problem.found) for problem in problems]


def test_a_good_study_has_no_problem(tmp_path):
    assert check(tmp_path, *body()) == []


@pytest.mark.parametrize("k", [3, 10, 16])
def test_a_forgotten_white_ring_is_named(tmp_path, k):
    sections, contours = body()
    ((file, place, found),) = check(tmp_path, sections, changed(contours, k, without, ("white",)))
    assert (file, place) == (f"{k + 1}.geojson", f"B01 section {k + 1}")
    assert found == f"no white_L ring, which sections {k} and {k + 2} have"


def test_two_forgotten_rings_in_a_row_and_a_forgotten_hemisphere():
    sections, contours = body()
    contours = changed(changed(contours, 8, without, ("white",)), 9, without, ("white",))
    contours = changed(contours, 14, without)
    found = [problem.found for problem in check_neighbours(TABLE, sections, contours)]
    assert found == [
        "no white_L ring, which sections 8 and 11 have",
        "no white_L ring, which sections 8 and 11 have",
        "no pial_L and no white_L ring, which sections 14 and 16 have",
    ]


def test_white_that_ends_before_the_pial_is_right():
    sections, contours = body()
    assert contours[1]["L"].white.is_empty and not contours[1]["L"].pial.is_empty
    assert check_neighbours(TABLE, sections, contours) == []


def test_a_torn_section_is_named_with_the_place_of_the_tear(tmp_path):
    sections, contours = body()
    problems = check(tmp_path, sections, changed(contours, 12, torn))
    assert {(file, place) for file, place, _ in problems} == {
        ("13.geojson", f"B01 section 13, '{name}_L'") for name in ("pial", "white")
    }
    assert "% less than sections 12 and 14 give" in problems[0][2]
    at = [float(part) for part in problems[0][2].split("around (")[1].split(")")[0].split(", ")]
    assert at[0] > 45 and at[1] < 28


def test_a_ring_that_takes_in_too_much_is_named():
    sections, contours = body()

    def more(region):
        return MultiPolygon([region.union(shapely.box(48, 34, 70, 52))])

    (problem,) = check_neighbours(TABLE, sections, changed(contours, 9, more, ("pial",)))
    assert problem.place == "B01 section 10, 'pial_L'" and "% more than sections 9 and 11 give" in problem.found


def test_a_section_upside_down_is_named(tmp_path):
    sections, contours = body()
    ((file, place, found),) = check(tmp_path, sections, changed(contours, 8, turned))
    assert (file, place) == ("9.geojson", "B01 section 9") and "turned by 180 degrees" in found


def test_sections_absent_from_a_regular_series(tmp_path):
    sections, contours = body()
    kept = [k for k in range(N_SECTIONS) if not 7 <= k < 11]
    ((file, place, found),) = check(tmp_path, [sections[k] for k in kept], [contours[k] for k in kept])
    assert (file, place) == ("sections.tsv", "sections 7 and 12")
    assert found == "planes 2.500 mm apart with none between: about 4 sections are absent"
    declared = [replace(s, status="missing") if 7 <= k < 11 else s for k, s in enumerate(sections)]
    assert check_neighbours(TABLE, declared, [c if k in kept else None for k, c in enumerate(contours)]) == []


def test_rows_out_of_order(tmp_path):
    sections, contours = body()
    planes = [section.plane for section in sections]
    sections[5], sections[6] = replace(sections[5], plane=planes[6]), replace(sections[6], plane=planes[5])
    contours[5], contours[6] = contours[6], contours[5]
    (problem,) = check(tmp_path, sections, contours)
    assert problem[:2] == ("sections.tsv", "sections 6 and 7, to_world") and "out of order" in problem[2]


def test_an_irregular_series_has_no_gaps():
    sections, _ = body()
    kept = [0, 1, 4, 5, 9, 10, 12, 17, 18, 19]
    assert check_neighbours(TABLE, [sections[k] for k in kept], [None] * len(kept)) == []


@pytest.mark.parametrize("seed", range(20))
def test_undrawn_between_against_every_pair(seed):
    is_drawn = np.random.default_rng(seed).random(9) < 0.4
    expected = [not is_drawn[k] and is_drawn[:k].any() and is_drawn[k + 1 :].any() for k in range(9)]
    assert undrawn_between(is_drawn).tolist() == expected


def test_five_thousand_sections_in_seconds():
    sections, contours = body(5000)
    start = time.perf_counter()
    assert check_neighbours(TABLE, sections, contours) == []
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(("factor", "words"), [(2.0, "2.0 times too large"), (1 / 3, "3.0 times too small")])
def test_a_wrong_pixel_size_and_plane_are_suspected(factor, words):
    sections, contours = body()
    step = sections[9].plane.to_world.copy()
    step[:, :2] *= factor
    sections[9] = replace(sections[9], plane=SectionPlane(step), um_per_px=100.0 * factor)
    problems = check_neighbours(TABLE, sections, contours)
    hints = [problem.hint for problem in problems if problem.place.startswith("B01 section 10,")]
    assert len(hints) == 2  # pial and white
    assert all(words in hint for hint in hints)
