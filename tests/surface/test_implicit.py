"""In-plane distances against shapely, stacking of planes, interpolation between unequal positions."""

import numpy as np
import pytest
import shapely

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.implicit import PlaneContours, interpolate, plane_fields, signed_distance, stack_contours


def segments_of(polygon: shapely.Polygon) -> np.ndarray:
    rings = [shapely.get_coordinates(r) for r in (polygon.exterior, *polygon.interiors)]
    return np.concatenate([np.hstack([r[:-1], r[1:]]) for r in rings])


def test_distance_is_exact_to_the_polygon():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.random(40)) * 2 * np.pi
    radius = 12 + 6 * rng.random(40)
    outline = np.column_stack([20.3 + radius * np.cos(angle), 19.7 + radius * np.sin(angle)])
    polygon = shapely.Polygon(outline, [shapely.Point(20, 20).buffer(4).exterior])
    points = shapely.points(*np.mgrid[:40, :38])
    expected = shapely.distance(points, polygon.boundary) * np.where(shapely.contains(polygon, points), 1, -1)
    found = signed_distance(segments_of(polygon), 40, 38)
    near = np.abs(expected) < 1
    np.testing.assert_allclose(found[near], expected[near], atol=1e-5)
    assert np.abs(found - expected).max() < 0.05


def test_two_banks_of_a_slit_thinner_than_a_voxel_are_seen():
    body = shapely.box(2.2, 2.2, 30.2, 30.2) - shapely.box(15.98, 10, 16.02, 31)
    field = signed_distance(segments_of(body), 33, 33)
    assert (np.abs(field[16, 12:29]) < 0.03).all()
    assert (field[15, 12:29] > 0.9).all()


def test_field_is_interpolated_between_true_positions(nested_spheres):
    heights = [-9.5, -8, -7.5, -5, -4, -1.5, 0, 2.5, 3, 6, 7, 8.5, 9.5]
    stack = stack_contours(nested_spheres(10, 6, heights), 0.5)
    volume = interpolate(stack, plane_fields(stack, stack.pial))
    inside = np.argwhere(volume > 0).astype(float)
    assert len(inside) * 0.125 == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    np.testing.assert_allclose(stack.grid.world(inside).mean(0), [3, -2, 5], atol=0.05)


def test_grid_round_trip(nested_spheres):
    grid = stack_contours(nested_spheres(10, 6, np.arange(-9, 10, 3)), 0.7).grid
    points = np.random.default_rng(1).random((10, 3)) * 20
    np.testing.assert_allclose(grid.indices(grid.world(points)), points, atol=1e-12)


def test_tilted_planes_meet_each_column_at_their_own_height(nested_spheres):
    level = nested_spheres(10, 6, np.arange(-9, 10, 1.5))
    tilted = []
    for n, plane in enumerate(level):
        angle = np.radians(3.0 if n % 2 else -3.0)
        axis = np.array([np.cos(angle), 0.0, np.sin(angle)])
        offset = plane.to_world[2, 2] - 5.0
        # the circle in which the tilted plane through (3, -2, 5 + offset) cuts the spheres
        normal = np.array([-np.sin(angle), 0.0, np.cos(angle)])
        height = offset * normal[2]
        centre = np.array([3.0, -2.0, 5.0]) + height * normal
        to_world = np.column_stack([axis * 0.1, [0, 0.1, 0], centre - 20 * axis - np.array([0, 20.0, 0])])
        discs = [
            shapely.MultiPolygon([shapely.Point(200, 200).buffer(10 * np.sqrt(r * r - height**2), quad_segs=64)])
            if r > abs(height)
            else shapely.MultiPolygon()
            for r in (10, 6)
        ]
        tilted.append(PlaneContours(to_world, *discs))
    stack = stack_contours(tilted, 0.5)
    field = plane_fields(stack, stack.pial)
    inside = np.argwhere(interpolate(stack, field) > 0).astype(float)
    distance = np.linalg.norm(stack.grid.world(inside) - [3, -2, 5], axis=1)
    assert len(inside) * 0.125 == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)
    assert distance.max() < 10.6


def test_a_part_seen_in_one_section_only_ends_half_way(nested_spheres):
    sections = nested_spheres(10, 6, [-4, -2, 0, 2, 4])
    knob = shapely.Point(420, 200).buffer(20)
    middle = sections[2]
    sections[2] = PlaneContours(middle.to_world, shapely.MultiPolygon([*middle.pial.geoms, knob]), middle.white)
    stack = stack_contours(sections, 0.25)
    volume = interpolate(stack, plane_fields(stack, stack.pial))
    u, v, _ = np.rint(stack.grid.indices(np.array([[25.0, -2.0, 5.0]]))[0]).astype(int)
    assert 1.5 < (volume[u, v] > 0).sum() * 0.25 < 3.1


@pytest.mark.parametrize(
    ("heights", "message"),
    [([], "0 of 0"), ([0, 1], "2 of 2"), ([0, 1, 1, 2], "neither coincide nor cross"), ([-20, 0, 1, 20], "2 of 4")],
)
def test_too_few_or_coinciding_planes(nested_spheres, heights, message):
    with pytest.raises(SurfaceError, match=message):
        stack_contours(nested_spheres(10, 6, heights), 1.0)


def test_no_white_anywhere(nested_spheres):
    sections = [PlaneContours(p.to_world, p.pial, shapely.MultiPolygon()) for p in nested_spheres(10, 6, [0, 1, 2])]
    with pytest.raises(SurfaceError, match="no white contour"):
        stack_contours(sections, 1.0)
