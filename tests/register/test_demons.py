"""Spherical Demons on patterns whose map is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cytomesh.register.demons import Grid, Stiffness, demons, followed, rotate
from cytomesh.register.distortion import is_flipped
from cytomesh.register.warp import grid_of
from tests.register.bodies import ball, bumps, degrees_between, directions, warped


def on_grid(grid, places, n=80):
    return grid.standardised(np.column_stack([bumps(places, n, seed=seed) for seed in (0, 1)]))


@pytest.fixture(scope="module")
def known():
    """What demons find where one pattern is another behind a smooth map, on 2,562 places."""
    grid = grid_of(4)
    here = grid.mesh.vertices
    own, theirs = on_grid(grid, warped(here)), on_grid(grid, here)
    return (grid, own, theirs, *demons(grid, here, np.eye(3), own, theirs, Stiffness()))


def test_a_smooth_map_is_found(known):
    grid, _, _, places, differences = known
    here = grid.mesh.vertices
    wrong = degrees_between(places, warped(here))
    assert degrees_between(here, warped(here)).mean() > 3.0
    assert wrong.mean() < 0.6
    assert wrong.max() < 3.0
    assert differences[-1] < 0.05 * differences[0]


def test_it_does_not_fold(known):
    grid, _, _, places, _ = known
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1.0)
    assert not is_flipped(places, grid.mesh.faces).any()


def test_differences_are_those_of_the_patterns(known):
    grid, own, theirs, _, differences = known
    squares = ((theirs - own) ** 2).sum(axis=1)
    assert differences[0] == pytest.approx(np.average(squares, weights=grid.mesh.vertex_areas))


def test_large_differences_do_not_fold_either():
    """Patterns that have nothing in common, and a map that may move as it likes."""
    grid = grid_of(3)
    own, theirs = (grid.standardised(bumps(grid.mesh.vertices, 60, 40.0, seed)[:, None]) for seed in (2, 3))
    places, differences = demons(grid, grid.mesh.vertices, np.eye(3), own, theirs, Stiffness(whole=1.0, damping=0.1))
    assert not is_flipped(places, grid.mesh.faces).any()
    assert differences[-1] < differences[0]


def test_equal_patterns_stay_where_they_are():
    grid = grid_of(3)
    own = on_grid(grid, grid.mesh.vertices)
    places, differences = demons(grid, grid.mesh.vertices, np.eye(3), own, own, Stiffness())
    assert degrees_between(places, grid.mesh.vertices).max() < 1e-6
    assert max(differences) < 1e-12


def test_displacements_are_measured_from_the_rotated_grid():
    """Smoothing the whole displacement draws places to the rotation, not to where they came from."""
    grid = grid_of(3)
    turn = Rotation.from_euler("xyz", [30, 20, -10], degrees=True).as_matrix()
    here = grid.mesh.vertices
    own, theirs = on_grid(grid, here @ turn.T), on_grid(grid, here)
    places, _ = demons(grid, here @ turn.T, turn, own, theirs, Stiffness())
    assert degrees_between(places, here @ turn.T).max() < 1.0


def test_stiffer_maps_move_less(known):
    grid, own, theirs, places, _ = known
    here = grid.mesh.vertices
    stiff, _ = demons(grid, here, np.eye(3), own, theirs, Stiffness(whole=8.0, n_steps=15))
    assert degrees_between(stiff, here).mean() < 0.8 * degrees_between(places, here).mean()


@pytest.mark.parametrize("degrees", [0.0, 60.0])
def test_rotations_are_found_to_a_degree(degrees):
    grid = grid_of(2)
    turn = Rotation.from_rotvec(degrees * directions(1, seed=8)[0], degrees=True).as_matrix()
    here = grid.mesh.vertices
    own, theirs = (grid.standardised(bumps(p, 20, 8.0)[:, None]) for p in (here @ turn.T, here))
    found = rotate(grid, own, theirs)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)
    assert Rotation.from_matrix(found @ turn.T).magnitude() < np.radians(1.5)


@pytest.mark.parametrize("degrees", [1.0, 50.0])
def test_the_flow_of_a_rotation_is_the_rotation(degrees):
    """The same velocity followed for a time of one, however far it leads."""
    grid = grid_of(3)
    here = grid.mesh.vertices
    axis = directions(1, seed=3)[0]
    turn = Rotation.from_rotvec(degrees * axis, degrees=True).as_matrix()
    found = followed(grid, warped(here), np.radians(degrees) * np.cross(axis, here))
    assert degrees_between(found, warped(here @ turn.T)).max() < 1.0


@pytest.mark.parametrize("smoothed", [{"flow": 3.0}, {"whole": 3.0}], ids=["flow", "whole"])
def test_steps_and_displacements_are_both_smoothed(smoothed):
    """After a step: how much displacements of neighbours differ, against how large they are."""
    grid = grid_of(3)
    here = grid.mesh.vertices
    own, theirs = on_grid(grid, warped(here)), on_grid(grid, here)
    i, j = grid.mesh.edges.T

    def roughness(**sds):
        places, _ = demons(
            grid, here, np.eye(3), own, theirs, Stiffness(**{"flow": 0.01, "whole": 0.01, **sds}, n_steps=1)
        )
        away = places - here
        return np.linalg.norm(away[i] - away[j], axis=1).mean() / np.linalg.norm(away, axis=1).mean()

    assert roughness(**smoothed) < 0.7 * roughness()


def test_gradients_are_those_of_harmonics():
    """Of z: what is tangent of the z axis; of x y likewise."""
    grid = grid_of(4)
    here = grid.mesh.vertices
    x, y, z = here.T
    found = grid.gradient(np.column_stack([z, x * y]))
    for number, flat in enumerate((np.tile([0.0, 0.0, 1.0], (len(here), 1)), np.column_stack([y, x, 0 * x]))):
        expected = flat - (flat * here).sum(axis=1, keepdims=True) * here
        np.testing.assert_allclose(found[:, number], expected, atol=0.01)
        np.testing.assert_allclose((found[:, number] * here).sum(axis=1), 0.0, atol=1e-12)


def test_gradients_against_triangles_by_loops():
    grid = Grid.of(1)
    values = np.random.default_rng(0).normal(size=(grid.mesh.n_vertices, 1))
    total, around = np.zeros((grid.mesh.n_vertices, 3)), np.zeros(grid.mesh.n_vertices)
    for face in grid.mesh.faces:
        a, b, c = grid.mesh.vertices[face]
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal) / 2
        # the vector in the plane that gives both differences
        rows = np.stack([b - a, c - a, normal])
        slope = np.linalg.solve(
            rows, [values[face[1], 0] - values[face[0], 0], values[face[2], 0] - values[face[0], 0], 0]
        )
        total[face] += area * slope
        around[face] += area
    expected = total / around[:, None]
    expected -= (expected * grid.mesh.vertices).sum(axis=1, keepdims=True) * grid.mesh.vertices
    np.testing.assert_allclose(grid.gradient(values)[:, 0], expected, atol=1e-12)


def test_grids():
    grid = Grid.of(3)
    i, j = grid.mesh.edges.T
    lengths = np.linalg.norm(grid.mesh.vertices[i] - grid.mesh.vertices[j], axis=1)
    assert grid.spacing == pytest.approx(lengths.mean(), rel=0.02)
    np.testing.assert_allclose(grid.shares, ball(3).vertex_areas / ball(3).area_mm2)
    values = np.random.default_rng(0).normal(3.0, 5.0, size=(grid.mesh.n_vertices, 2))
    values[7] = 1000.0
    found = grid.standardised(values)
    assert found.max() == 3.0
    found = grid.standardised(np.delete(values, 7, axis=0)[[0, *range(641)]])
    np.testing.assert_allclose(grid.shares @ found, 0.0, atol=0.02)
    np.testing.assert_allclose(np.sqrt(grid.shares @ found**2), 1.0, atol=0.02)
    np.testing.assert_allclose(grid.standardised(np.full((642, 1), 5.0)), 0.0, atol=0.01)
