"""Interpolation between planes at unequal and tilted positions, one after the other, against all at once."""

import numpy as np
import pytest
import shapely
from scipy.interpolate import CubicHermiteSpline

from cytomesh.surface.distance import signed_distance
from cytomesh.surface.implicit import fill_volume
from cytomesh.surface.stack import PlaneContours, stack_contours


def test_field_is_interpolated_between_true_positions(nested_spheres):
    heights = [-9.5, -8, -7.5, -5, -4, -1.5, 0, 2.5, 3, 6, 7, 8.5, 9.5]
    stack = stack_contours(nested_spheres(10, 6, heights), 0.5)
    volume = fill_volume(stack, stack.pial)
    inside = np.argwhere(volume > 0).astype(float)
    assert len(inside) * 0.125 == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    np.testing.assert_allclose(stack.grid.world(inside).mean(0), [3, -2, 5], atol=0.05)


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
    inside = np.argwhere(fill_volume(stack, stack.pial) > 0).astype(float)
    distance = np.linalg.norm(stack.grid.world(inside) - [3, -2, 5], axis=1)
    assert len(inside) * 0.125 == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)
    assert distance.max() < 10.6


def test_a_part_seen_in_one_section_only_ends_half_way(nested_spheres):
    sections = nested_spheres(10, 6, [-4, -2, 0, 2, 4])
    knob = shapely.Point(420, 200).buffer(20)
    middle = sections[2]
    sections[2] = PlaneContours(middle.to_world, shapely.MultiPolygon([*middle.pial.geoms, knob]), middle.white)
    stack = stack_contours(sections, 0.25)
    volume = fill_volume(stack, stack.pial)
    u, v, _ = np.rint(stack.grid.indices(np.array([[25.0, -2.0, 5.0]]))[0]).astype(int)
    assert 1.5 < (volume[u, v] > 0).sum() * 0.25 < 3.1


def test_an_undrawn_boundary_is_that_of_the_stack_without_the_plane(nested_spheres):
    sections = nested_spheres(10, 6, np.arange(-9.5, 10, 1.0))
    known = [n for n in range(len(sections)) if n not in (6, 12, 13)]
    for n in (6, 12, 13):
        sections[n] = PlaneContours(sections[n].to_world, sections[n].pial, shapely.MultiPolygon())
    stack, without = (stack_contours(items, 0.5) for items in (sections, [sections[n] for n in known]))
    assert np.flatnonzero(stack.is_bridged(stack.white)).tolist() == [6, 12, 13]
    assert not stack.is_bridged(stack.pial).any()
    assert np.array_equal(fill_volume(stack, stack.white), fill_volume(without, without.white))


def test_volume_is_the_hermite_spline_through_the_planes(nested_spheres):
    heights = np.array([-7.0, -4.5, -1.0, 0.3, 4.0, 6.5])
    stack = stack_contours(nested_spheres(10, 6, heights), 0.5)
    ni, nj, _ = stack.grid.shape
    planes = np.stack([signed_distance(lines, ni, nj) * 0.5 for lines in stack.pial])
    at = stack.heights[:, 0]
    slopes = np.empty_like(planes)
    for k in range(1, 5):
        before, after = at[k] - at[k - 1], at[k + 1] - at[k]
        rise = (planes[k] - planes[k - 1]) / before, (planes[k + 1] - planes[k]) / after
        slopes[k] = (rise[0] * after + rise[1] * before) / (before + after)
    inner = np.arange(int(np.ceil(at[1])), int(at[4]) + 1)
    expected = CubicHermiteSpline(at[1:5], planes[1:5], slopes[1:5])(inner)
    np.testing.assert_allclose(fill_volume(stack, stack.pial)[:, :, inner], np.moveaxis(expected, 0, 2), atol=2e-5)
