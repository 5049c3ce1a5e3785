import pytest
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.core.errors import ContourError, ImageError
from cytomesh.graph.inputs import count_reachable, link_sections, median_spacing, plane_contours, read_inputs
from cytomesh.study.contours import HemisphereContours, SectionContours, read_contours, write_contours
from cytomesh.study.study import open_study


@pytest.fixture
def sections(make_study):
    return open_study(make_study(missing=(5,))).brain("B01").sections


def test_contours_and_image_sizes_are_read(sections):
    inputs = read_inputs(sections, "L", 1, skip_bad=False)
    assert [item.section.index for item in inputs] == [section.index for section in sections]
    assert inputs[0].shape == (300, 300)
    planes = plane_contours(inputs, "L")
    assert len(planes) == len(sections) - 1  # the missing one
    assert max(plane.pial.area for plane in planes) > 1000
    assert all(plane.pial.is_empty for plane in plane_contours(inputs, "R"))


def test_links_lead_to_sections_with_an_image_only(sections):
    inputs = read_inputs(sections, "L", 1, skip_bad=False)
    found = {section.index: section for section in link_sections(inputs)}
    assert found[5].unusable == "missing"
    assert found[6].unusable == "" and found[6].shape == (300, 300)
    assert median_spacing(sections) == pytest.approx(1.0)
    assert count_reachable(list(found.values()), sections[5].plane.to_world[None, :, 2], 0.5) == 0


def test_workers_change_nothing(sections):
    many = list(sections) * 10
    serial, parallel = (read_inputs(many, "L", workers, skip_bad=False) for workers in (1, 2))
    assert [item.shape for item in serial] == [item.shape for item in parallel]
    assert all(a.contours == b.contours for a, b in zip(serial, parallel, strict=True))


def test_a_bad_contour_file_stops_or_is_left_out(sections):
    sections[3].contours.write_text("{")
    with pytest.raises(ContourError, match=r"03\.geojson"):
        read_inputs(sections, "L", 1, skip_bad=False)
    inputs = read_inputs(sections, "L", 1, skip_bad=True)
    assert [item.section.index for item in inputs if item.problem] == [3]
    assert "left out" in {s.index: s for s in link_sections(inputs)}[3].unusable


def test_a_bad_hemisphere_leaves_the_other_one(sections):
    """Both hemispheres read the same rings, so that alignment moves them together; each uses its own."""
    section = sections[3]
    rings = read_contours(section)["L"]
    crossed = MultiPolygon([Polygon([(200, 10), (220, 30), (220, 10), (200, 30)])])
    write_contours(section.contours, SectionContours({"L": rings, "R": HemisphereContours(crossed)}))
    with pytest.raises(ContourError, match="crosses itself"):
        read_inputs(sections, "L", 1, skip_bad=False)
    left, right = (read_inputs(sections, side, 1, skip_bad=True)[3] for side in "LR")
    assert left.problem is None and left.shape == (300, 300)
    assert left.contours["L"].pial.area == pytest.approx(rings.pial.area) and left.contours == right.contours
    assert "crosses itself" in str(right.problem) and right.drawn is None
    assert len(plane_contours([left, right], "L")) == 1
    assert [section.unusable for section in link_sections([left, right])] == ["", "left out (see qc.html)"]
    section.contours.write_text("{")
    assert all(read_inputs(sections, side, 1, skip_bad=True)[3].problem for side in "LR")


def test_a_missing_image_stops_or_is_left_out(sections):
    sections[7].image.unlink()
    with pytest.raises(ImageError, match=r"07\.png"):
        read_inputs(sections, "L", 1, skip_bad=False)
    assert sum(item.problem is not None for item in read_inputs(sections, "L", 1, skip_bad=True)) == 1
