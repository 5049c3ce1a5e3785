import numpy as np
import pytest
import shapely

from cytomesh.core.errors import GraphError
from cytomesh.graph.curves import PlaneCutter
from cytomesh.graph.links import LinkSection, Ribbon, image_angle, link_positions, obliqueness
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.mesh import Mesh

IMAGE = (1001, 1001)
Y = np.array([0.0, 1.0, 0.0])


def sections_at(shapes, positions, **options):
    return [LinkSection(i, shapes.coronal(float(y)), IMAGE, **options) for i, y in enumerate(positions)]


def links_by_loops(ribbon, sections, positions, max_distance_mm, max_reach_mm):
    """For each position, each section, each face: the nearest point. Slow on purpose."""
    cutter = PlaneCutter(ribbon.midthickness, Y)
    curves = [cutter.cut(section.plane) for section in sections]
    result = []
    for position in positions:
        best, chosen = np.inf, (-1, np.full(2, np.nan))
        for section, curve in zip(sections, curves, strict=True):
            if abs(section.plane.distance(position[None])[0]) > max_distance_mm or curve.n_segments == 0:
                continue
            a, d = curve.points[:, 0], curve.points[:, 1] - curve.points[:, 0]
            along = np.clip(((position - a) * d).sum(1) / np.maximum((d * d).sum(1), 1e-24), 0, 1)
            points = a + along[:, None] * d
            reach = np.linalg.norm(points - position, axis=1)
            if reach.min() < best:
                best = reach.min()
                chosen = (section.index, section.plane.pixels(points[[reach.argmin()]])[0])
        result.append(chosen if best <= max_reach_mm else (-1, np.full(2, np.nan)))
    return np.array([index for index, _ in result]), np.array([pixel for _, pixel in result])


@pytest.mark.parametrize("max_distance_mm", [0.4, 1.0, 3.0])
def test_links_equal_the_search_over_everything(shapes, max_distance_mm):
    ribbon = shapes.folded(3)
    sections = sections_at(shapes, np.arange(-20.0, 20.0, 0.9))
    positions = ribbon.midthickness.vertices[::7]
    links = link_positions(ribbon, sections, positions, max_distance_mm, 2 * max_distance_mm)
    index, pixels = links_by_loops(ribbon, sections, positions, max_distance_mm, 2 * max_distance_mm)
    assert (links.section == index).all()
    assert links.pixels == pytest.approx(pixels, abs=1e-7, nan_ok=True)
    assert ((links.reason == "") == links.is_linked).all()


def test_links_with_tilted_planes_equal_the_search_over_everything(shapes):
    ribbon = shapes.folded(3)
    tilts = np.random.default_rng(1).uniform(-6, 6, 20)
    sections = [
        LinkSection(i, shapes.tilted(y, t), IMAGE)
        for i, (y, t) in enumerate(zip(range(-20, 20, 2), tilts, strict=True))
    ]
    positions = ribbon.midthickness.vertices[::9]
    links = link_positions(ribbon, sections, positions, 2.0, 3.0)
    index, pixels = links_by_loops(ribbon, sections, positions, 2.0, 3.0)
    assert (links.section == index).all()
    assert links.pixels == pytest.approx(pixels, abs=1e-7, nan_ok=True)


def test_a_sphere_has_known_links(shapes):
    ribbon = shapes.sphere(6)
    nodes = ribbon.midthickness.vertices
    nodes = nodes[np.abs(nodes[:, 1] - 3.0) < 0.3]
    links = link_positions(ribbon, [LinkSection(7, shapes.coronal(3.0), IMAGE)], nodes, 0.5, 1.0)
    assert (links.section == 7).all()
    # the nearest point of the circle in which y = 3 cuts the sphere lies in the direction of the node
    direction = nodes[:, [0, 2]] / np.linalg.norm(nodes[:, [0, 2]], axis=1, keepdims=True)
    x, z = (np.sqrt(81.0 - 9.0) * direction).T
    expected = np.stack([(x + 25.0) / 0.05, (25.0 - z) / 0.05], axis=1)
    assert np.abs(links.pixels - expected).max() < 0.3
    assert links.distance_mm == pytest.approx(nodes[:, 1] - 3.0)
    away = np.degrees(np.arctan2(z, x))
    assert np.abs((links.angle_deg - away + 180) % 360 - 180).max() < 0.5
    assert links.obliqueness_deg == pytest.approx(np.degrees(np.arcsin(3.0 / 9.0)), abs=0.1)


def test_links_lie_on_the_cortex_where_projections_do_not(shapes):
    ribbon = shapes.sphere(6)
    nodes = ribbon.midthickness.vertices
    nodes = nodes[(np.abs(nodes[:, 1] - 8.0) < 0.5)]
    links = link_positions(ribbon, [LinkSection(0, shapes.coronal(8.0), IMAGE)], nodes, 0.5, 2.0)
    radius = np.linalg.norm(links.points, axis=1)
    assert np.abs(radius - 9.0).max() < 0.01
    assert np.abs(np.hypot(np.hypot(nodes[:, 0], nodes[:, 2]), 8.0) - 9.0).max() > 0.3


@pytest.mark.parametrize("tilt_deg", [-30.0, 0.0, 20.0])
def test_angle_and_obliqueness_on_a_flat_sheet_cut_by_a_tilted_plane(shapes, tilt_deg):
    # a sheet in the plane z = 0, pial above: the normal is +z
    x, y = np.meshgrid(np.arange(-10.0, 11.0), np.arange(-10.0, 11.0), indexing="ij")
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    corner = np.arange(20)[:, None] * 21 + np.arange(20)
    corner = corner.ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 21, corner + 1], 1), np.stack([corner + 1, corner + 21, corner + 22], 1)]
    )
    ribbon = Ribbon(*(Mesh(flat + np.array([0.0, 0.0, height]), faces) for height in (1.0, 0.0, -1.0)))
    plane = shapes.tilted(0.3, tilt_deg)
    links = link_positions(ribbon, [LinkSection(0, plane, IMAGE)], flat[np.abs(flat[:, 1]) < 1], 2.0, 3.0)
    assert links.is_linked.all()
    assert links.obliqueness_deg == pytest.approx(abs(tilt_deg), abs=1e-6)
    assert links.angle_deg == pytest.approx(90.0)


def test_image_angle_counts_counter_clockwise_with_rows_up(shapes):
    plane = shapes.coronal(0.0)
    directions = np.array([[1.0, 5.0, 0.0], [0.0, 0.0, 2.0], [-3.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 1.0]])
    assert image_angle(plane, directions, np.zeros((5, 2))) == pytest.approx([0.0, 90.0, 180.0, -90.0, 45.0])
    mirrored = SectionPlane(plane.to_world * np.array([-1.0, 1.0, 1.0]))
    assert image_angle(mirrored, directions[:1], np.zeros((1, 2))) == pytest.approx([180.0])
    assert obliqueness(plane, np.array([[1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [1.0, 1.0, 0.0]])) == pytest.approx(
        [0, 90, 45]
    )


def test_the_two_neighbours_of_a_missing_section_bridge_it(shapes):
    ribbon = shapes.sphere(5)
    nodes = ribbon.midthickness.vertices[np.abs(ribbon.midthickness.vertices[:, 1]) < 1.0]
    sections = sections_at(shapes, [-1.0, 0.0, 1.0])
    sections[1] = LinkSection(1, sections[1].plane, unusable="missing")
    links = link_positions(ribbon, sections, nodes, 1.0, 2.0)
    assert set(links.section) == {0, 2}
    assert (links.section[nodes[:, 1] < -0.1] == 0).all()
    near = link_positions(ribbon, sections, nodes, 0.5, 1.0)
    middle = np.abs(nodes[:, 1]) < 0.49
    assert (near.reason[middle] == "section missing").all()
    assert np.isnan(near.pixels[middle]).all()


@pytest.mark.parametrize("with_normals", [False, True])
@pytest.mark.parametrize("reason", ["excluded", "outside"])
def test_a_section_that_shows_nothing_here_is_as_good_as_missing(shapes, reason, with_normals):
    ribbon = shapes.folded(4)
    nodes, normals = ribbon.midthickness.vertices, ribbon.midthickness.vertex_normals if with_normals else None
    sections = sections_at(shapes, np.arange(-20.0, 21.0, 2.0))
    missing, refusing = list(sections), list(sections)
    for index in (9, 10):  # two neighbours: nodes between them have to look farther
        plane = sections[index].plane
        missing[index] = LinkSection(index, plane, unusable="missing")
        excluded = shapely.box(-1, -1, 1001, 1001) if reason == "excluded" else None
        refusing[index] = LinkSection(index, plane, IMAGE if excluded else (10, 10), excluded)
    expected, found = (link_positions(ribbon, some, nodes, 4.0, 8.0, normals) for some in (missing, refusing))
    near = np.abs(nodes[:, 1] - 0.0) < 1.0
    assert found.is_linked[near].all() and set(found.section[near]) == {8, 11}
    for name in ("section", "pixels", "angle_deg", "obliqueness_deg", "distance_mm", "reach_mm", "points", "reason"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_each_position_takes_the_nearest_section_that_shows_it(shapes):
    """Against the search over everything, again and again without the section whose hole was hit."""
    ribbon = shapes.folded(3)
    random = np.random.default_rng(0)
    sections = []
    for i, y in enumerate(np.arange(-20.0, 20.0, 2.0)):
        hole = shapely.union_all([shapely.Point(*at).buffer(150) for at in random.uniform(0, 1000, (5, 2))])
        sections.append(LinkSection(i, shapes.coronal(float(y)), (1001, 700 if i % 3 else 1001), hole))
    positions = ribbon.midthickness.vertices[::5]
    links = link_positions(ribbon, sections, positions, 3.0, 6.0)
    n_further = 0
    for i, position in enumerate(positions):
        left, refused = list(sections), []
        while True:
            (index,), ((column, row),) = links_by_loops(ribbon, left, position[None], 3.0, 6.0)
            is_outside = index >= 0 and column > sections[index].shape[1] - 0.5
            if index < 0 or not (is_outside or sections[index].excluded.contains(shapely.Point(column, row))):
                break
            refused.append(f"{'outside the image' if is_outside else 'excluded region'} of section {index}")
            left = [section for section in left if section.index != index]
        assert links.section[i] == index
        if index >= 0:
            n_further += bool(refused)
            assert links.pixels[i] == pytest.approx([column, row], abs=1e-7) and links.reason[i] == ""
        elif refused:
            assert links.reason[i] == refused[0]  # the nearest section's reason is kept
    assert n_further > 20 and (~links.is_linked).sum() > 2


def test_unlinked_positions_say_why(shapes):
    ribbon = shapes.sphere(4)
    position = np.array([[9.0, 0.1, 0.0], [-9.0, 0.1, 0.0], [0.0, 0.1, 9.0], [0.0, 5.0, 7.5], [0.0, 9.0, 0.0]])
    excluded = shapely.box(600, 400, 800, 600)
    at_pole = LinkSection(2, shapes.coronal(9.1), IMAGE)
    links = link_positions(
        ribbon, [LinkSection(1, shapes.coronal(0.0), (400, 900), excluded), at_pole], position, 1.0, 2.0
    )
    assert links.reason.tolist() == [
        "outside the image of section 1",
        "outside the image of section 1",
        "",
        "no section within 1 mm",
        "no cut cortex within 2 mm",
    ]
    links = link_positions(ribbon, [LinkSection(1, shapes.coronal(0.0), IMAGE, excluded)], position, 1.0, 2.0)
    assert links.reason.tolist()[:3] == ["excluded region of section 1", "", ""]


def test_no_usable_section_and_no_position(shapes):
    ribbon = shapes.sphere(2)
    links = link_positions(ribbon, [], ribbon.midthickness.vertices, 1.0, 2.0)
    assert not links.is_linked.any() and (links.reason == "no section within 1 mm").all()
    assert len(link_positions(ribbon, sections_at(shapes, [0.0]), np.empty((0, 3)), 1.0, 2.0).section) == 0


def test_surfaces_that_do_not_correspond_are_refused(shapes):
    with pytest.raises(GraphError, match="correspond"):
        Ribbon(shapes.sphere(2).pial, shapes.sphere(3).midthickness, shapes.sphere(2).white)


def test_surfaces_of_other_triangles_are_refused(shapes):
    pial = shapes.sphere(2).pial
    turned = Mesh(pial.vertices, pial.faces[:, ::-1])
    with pytest.raises(GraphError, match="different triangles"):
        Ribbon(pial, turned, pial)


def test_links_left_out_leave_the_reasons_as_they_were(shapes):
    ribbon = shapes.sphere(2)
    links = link_positions(ribbon, [LinkSection(0, shapes.coronal(0.0), (1001, 1001))], ribbon.pial.vertices, 1.0, 2.0)
    reason = np.where(np.arange(ribbon.pial.n_vertices) < 9, "cut", "").astype("<U48")
    before = reason.copy()
    assert (links.without(reason).reason[:9] == "cut").all()
    np.testing.assert_array_equal(reason, before)
