import numpy as np
import pytest
import trimesh

from cytomesh.surface.depth import sulcal_depth
from cytomesh.surface.mesh import Mesh


def ball(subdivisions=5):
    return trimesh.creation.icosphere(subdivisions=subdivisions)


@pytest.mark.parametrize("radius", [12.0, 40.0])
def test_a_sphere_has_no_depth(radius):
    unit = ball(4)
    assert sulcal_depth(Mesh(unit.vertices * radius, unit.faces)).max() < 0.05


def test_a_narrow_groove_is_as_deep_as_it_was_cut():
    # a groove around the equator of a sphere of 40 mm, 10 mm deep, about 5 mm wide
    unit = ball(6)
    height = 40.0 * unit.vertices[:, 2]
    radius = 40.0 - 10.0 * np.exp(-0.5 * (height / 1.5) ** 2)
    depth = sulcal_depth(Mesh(unit.vertices * radius[:, None], unit.faces))
    bottom = np.abs(height) < 0.3
    # the ball sinks into the groove until it touches a wall: the least height of its bottom over the wall's points
    beside = np.linspace(0.0, 7.0, 701)
    wall = 10.0 * np.exp(-0.5 * (beside / 1.5) ** 2) + beside**2 / 80.0
    sunk = (wall + 7.5 - np.sqrt(7.5**2 - beside**2)).min()
    assert depth[bottom] == pytest.approx(10.0 - sunk, abs=0.4)
    assert depth[np.abs(height) > 8].max() < 0.1


def test_a_wide_valley_is_no_sulcus():
    unit = ball(5)
    height = 40.0 * unit.vertices[:, 2]
    radius = 40.0 - 3.0 * np.exp(-0.5 * (height / 15.0) ** 2)
    assert sulcal_depth(Mesh(unit.vertices * radius[:, None], unit.faces)).max() < 0.1


def depth_by_rolling(pial, step):
    """Every ball of 7.5 mm or little more that fits outside: how far each vertex is from all. Slow on purpose."""
    axis = np.arange(-45.0, 45.0, step)
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    centres = centres[np.abs(np.linalg.norm(centres, axis=1) - 33.3) < 4.8]
    depth = np.full(pial.n_vertices, np.inf)
    for chunk in np.array_split(centres, 60):
        away = np.linalg.norm(pial.vertices[None] - chunk[:, None], axis=2)
        radius = away.min(axis=1, keepdims=True)
        fits = (radius[:, 0] >= 7.5) & (radius[:, 0] < 9.0)
        depth = np.minimum(depth, (away - radius)[fits].min(axis=0, initial=np.inf))
    return depth


def test_depth_is_the_distance_to_a_rolling_ball():
    unit = ball(4)
    v = unit.vertices
    radius = 25.0 * (1.0 + 0.15 * np.sin(8 * v[:, 0]) * np.cos(9 * v[:, 1] + 1))
    pial = Mesh(v * radius[:, None], unit.faces)
    expected = depth_by_rolling(pial, 1.5)
    assert expected.max() > 1.0
    found = sulcal_depth(pial)
    # the balls of either sit on a grid of their own
    assert found == pytest.approx(expected, abs=0.8)
    assert np.corrcoef(found, expected)[0, 1] > 0.9


def test_an_open_surface_is_as_deep_as_the_closed_one():
    # without the triangles of a medial wall 50 mm wide: balls inside the brain would take the depth of its sulci
    unit = ball(5)
    v = unit.vertices
    radius = 40.0 - 10.0 * np.exp(-0.5 * (40.0 * v[:, 2] / 1.5) ** 2)
    is_wall = v[:, 2] > 0.8
    closed = Mesh(v * radius[:, None], unit.faces)
    opened = Mesh(closed.vertices, unit.faces[~is_wall[unit.faces].any(axis=1)])
    away = v[:, 2] < 0.6
    expected = sulcal_depth(closed)[away]
    assert expected.max() > 2.0
    assert sulcal_depth(opened)[away] == pytest.approx(expected, abs=0.1)
