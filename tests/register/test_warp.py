"""Maps between spheres, and what is compared when they are sought."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cytomesh.register.demons import Stiffness
from cytomesh.register.distortion import is_flipped
from cytomesh.register.folding import depth_potential
from cytomesh.register.warp import STAGES, Stage, Warp, grid_of, pattern_of, warp_onto
from cytomesh.surface.mesh import Mesh, unit
from tests.register.bodies import ball, bumps, bumpy, degrees_between, directions, warped

SMALL = (Stage(3, 2.3), Stage(4, 2.3))


def patterns(places, stages=SMALL):
    """A pattern of 80 bumps seen at places that a function of the grid gives."""
    grids = [grid_of(stage.subdivisions) for stage in stages]
    return tuple(grid.standardised(bumps(places(grid.mesh.vertices), 80)[:, None]) for grid in grids)


@pytest.fixture(scope="module")
def found():
    """The map behind which one pattern is another: turned by 25 degrees, and bent."""
    turn = Rotation.from_euler("xyz", [15, -10, 18], degrees=True).as_matrix()

    def true(places):
        return warped(places @ turn.T)

    warp, record = warp_onto(patterns(true), patterns(np.asarray), Stiffness(), SMALL)
    return true, warp, record


def test_a_map_is_found_from_afar(found):
    true, warp, record = found
    asked = directions(500)
    wrong = degrees_between(warp(asked), true(asked))
    assert degrees_between(asked, true(asked)).mean() > 15
    assert wrong.mean() < 1.0
    assert np.quantile(wrong, 0.95) < 2.5
    assert [stage["grid"] for stage in record] == [642.0, 2562.0]
    assert all(stage["after"] < stage["before"] for stage in record)
    assert not is_flipped(warp.places, warp.grid.mesh.faces).any()


def test_the_inverse_leads_back(found):
    _, warp, _ = found
    asked = directions(500, seed=1)
    assert degrees_between(warp.inverse(warp(asked)), asked).max() < 1e-4
    assert degrees_between(warp(warp.inverse(asked)), asked).max() < 1e-4


def test_only_the_first_stages(found):
    true, _, _ = found
    coarse = (Stage(2, 2.3), Stage(3, 2.3))
    warp, record = warp_onto(patterns(true, coarse), patterns(np.asarray, coarse), Stiffness(), coarse, n_stages=1)
    assert (warp.subdivisions, len(record)) == (2, 1)


def test_a_warp_is_linear_between_its_places():
    places = warped(ball(2).vertices)
    warp = Warp(2, places)
    np.testing.assert_allclose(warp(7.0 * ball(2).vertices), places, atol=1e-12)
    i, j = ball(2).edges.T
    middles = ball(2).vertices[i] + ball(2).vertices[j]
    assert degrees_between(warp(middles), unit(places[i] + places[j])).max() < 1e-6


def test_patterns_are_the_depths_of_folds_at_the_scales_of_the_stages():
    surface, sphere = bumpy(4), ball(4)
    stages = (Stage(2, 2.0), Stage(3, 1.0))
    found = pattern_of(surface, Mesh(100 * sphere.vertices, sphere.faces), stages)
    # by formula: the grid's spacing on a sphere of the same area
    for stage, values in zip(stages, found, strict=True):
        grid = grid_of(stage.subdivisions)
        length = stage.length * grid.spacing * np.sqrt(surface.area_mm2 / (4 * np.pi))
        depth = depth_potential(surface, [length])[:, 0]
        # icospheres are nested: their first vertices are the same
        at_grid = depth[np.argmax(grid.mesh.vertices @ sphere.vertices.T, axis=1)]
        assert values.shape == (grid.mesh.n_vertices, 1)
        assert np.corrcoef(values[:, 0], at_grid)[0, 1] > 0.9
        np.testing.assert_allclose(grid.shares @ values, 0.0, atol=0.02)


def test_patterns_do_not_depend_on_the_size_of_brains():
    surface, sphere = bumpy(3), ball(3)
    small, large = (pattern_of(Mesh(k * surface.vertices, surface.faces), sphere, SMALL) for k in (1.0, 12.0))
    for one, other in zip(small, large, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_further_columns_count_in_stages_with_weights_only():
    surface, sphere = bumpy(3), ball(3)
    further = np.column_stack([sphere.vertices[:, 0], bumps(sphere.vertices)])
    stages = (Stage(2, 2.0), Stage(3, 2.0, (0.5, 2.0)))
    folds, both = pattern_of(surface, sphere, stages, further)
    assert (folds.shape[1], both.shape[1]) == (1, 3)
    assert np.corrcoef(both[:, 1], grid_of(3).mesh.vertices[:, 0])[0, 1] > 0.99


def test_weights_say_which_pattern_is_followed():
    """Two columns that want to be moved in opposite directions about z: the heavier one wins."""
    grid = grid_of(2)

    def turned(degrees):
        return grid.mesh.vertices @ Rotation.from_euler("z", degrees, degrees=True).as_matrix().T

    still = grid.standardised(bumps(grid.mesh.vertices, 30, 8.0)[:, None])
    east, west = (grid.standardised(bumps(turned(d), 30, 8.0)[:, None]) for d in (6, -6))
    own, theirs = (np.column_stack([east, west]),), (np.column_stack([still, still]),)
    for weight, sign in ((1e-3, 1), (1e3, -1)):
        warp, _ = warp_onto(own, theirs, Stiffness(), (Stage(2, 2.0, (weight,)),))
        x, y, _ = grid.mesh.vertices.T
        around = np.column_stack([-y, x, 0 * x])
        assert sign * (warp(grid.mesh.vertices) * around).sum(axis=1).mean() > 0.03


def test_the_stages_go_from_coarse_to_fine():
    grids = [stage.subdivisions for stage in STAGES]
    assert grids == sorted(grids)
    lengths = [stage.length * grid_of(stage.subdivisions).spacing for stage in STAGES]
    assert lengths == sorted(lengths, reverse=True)
    # mm, of a human hemisphere's area
    np.testing.assert_allclose(np.multiply(lengths, np.sqrt(1e5 / (4 * np.pi))), [32, 16, 11, 4], rtol=0.1)
