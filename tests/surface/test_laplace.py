"""Laplace's equation in a spherical shell has the depth (1/r - 1/b) / (1/a - 1/b)."""

import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.laplace import solve_depth
from cytomesh.surface.tracing import sample


@pytest.fixture(scope="module")
def shell():
    x, y, z = np.mgrid[-15:16, -15:16, -15:16]
    r = np.sqrt(x**2 + y**2 + z**2)
    white, pial = (6.3 - r).astype(np.float32), (12.7 - r).astype(np.float32)
    return r, white, pial


def analytic(r: np.ndarray) -> np.ndarray:
    return (1 / r - 1 / 12.7) / (1 / 6.3 - 1 / 12.7)


def test_shell_agrees_with_the_analytic_solution(shell):
    r, *fields = shell
    depth = solve_depth(*fields, tolerance=1e-6)
    ribbon = (r > 6.3) & (r < 12.7)
    assert depth.residual < 1e-6
    assert depth.n_unknowns == ribbon.sum()
    assert np.abs(depth.values[ribbon] - analytic(r[ribbon])).max() < 0.01


def test_levels_run_through_the_boundaries(shell):
    _, *fields = shell
    depth = solve_depth(*fields, tolerance=1e-6)
    directions = np.random.default_rng(0).standard_normal((500, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    assert np.abs(sample(depth.values, 15 + 12.7 * directions)).max() < 0.05
    assert np.abs(sample(depth.values, 15 + 6.3 * directions) - 1).max() < 0.1


def test_no_convergence_is_an_error(shell):
    with pytest.raises(SurfaceError, match="after 2 steps"):
        solve_depth(*shell[1:], tolerance=1e-6, max_iterations=2)


def test_empty_ribbon_is_an_error(shell):
    _, white, _ = shell
    with pytest.raises(SurfaceError, match="no voxel between"):
        solve_depth(white, white, tolerance=1e-6)
