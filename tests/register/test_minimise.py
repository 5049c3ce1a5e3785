"""L-BFGS with a preconditioner, on energies whose minimum is known."""

import numpy as np
import pytest
import torch

from cytomesh.register.minimise import minimise
from cytomesh.surface.mesh import unit

CPU = torch.device("cpu")


@pytest.fixture
def quadratic():
    """x^T A x / 2 - b^T x with numbers from 1 to 1,000 on the diagonal, its solution, and a start."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    matrix = turn @ np.diag(np.geomspace(1, 1000, 30)) @ turn.T
    right = rng.normal(size=(30, 3))

    def energy(x):
        return 0.5 * (x * (torch.as_tensor(matrix) @ x)).sum() - (torch.as_tensor(right) * x).sum()

    return matrix, energy, np.linalg.solve(matrix, right), rng.normal(size=(30, 3)) * 0.1


def least(energy, start, precondition=np.asarray, **options):
    found = {"n_iterations": 500, "tolerance": 1e-13, "retract": np.asarray, **options}
    return minimise(energy, start, precondition, CPU, **found)


def test_the_minimum_of_a_quadratic_is_the_linear_solution(quadratic):
    _, energy, solution, start = quadratic
    found, energies = least(energy, start)
    np.testing.assert_allclose(found, solution, atol=1e-4)
    assert energies[0] == float(energy(torch.as_tensor(start)))
    assert energies[-1] == pytest.approx(float(energy(torch.as_tensor(found))))
    assert (np.diff(energies) <= 0).all()


def test_its_hessian_as_preconditioner_leads_there_at_once(quadratic):
    matrix, energy, solution, start = quadratic
    found, energies = least(energy, start, lambda pulls: np.linalg.solve(matrix, pulls), tolerance=1e-10)
    np.testing.assert_allclose(found, solution, atol=1e-6)
    n_steps = len(energies) - 1
    assert n_steps <= 8  # none is longer than LARGEST_STEP
    assert len(least(energy, start, tolerance=1e-10)[1]) > 5 * n_steps


def test_beyond_a_border_nothing_is_tried_twice():
    """The least of 1 / (x - 1) + x^2 beyond x > 1, from where steps lead over the border."""

    def energy(x):
        return None if bool((x <= 1).any()) else (1 / (x - 1) + x**2).sum()

    found, energies = least(energy, np.full((4, 3), 4.0), lambda pulls: 10 * pulls)
    roots = np.roots([2, -4, 2, -1])  # 2 x (x - 1)^2 = 1
    np.testing.assert_allclose(found, roots[np.isreal(roots)].real[0], atol=1e-5)
    assert np.isfinite(energies).all()
    assert (np.diff(energies) <= 0).all()


def test_where_an_energy_bends_the_other_way_it_is_left():
    """Two wells: between them curvature is negative, and no model of it leads down."""

    def energy(x):
        return ((x**2 - 1) ** 2).sum()

    start = np.random.default_rng(3).choice([-1.0, 1.0], (6, 3)) * np.linspace(0.01, 0.3, 18).reshape(6, 3)
    found, energies = least(energy, start, lambda pulls: 0.1 * pulls)
    np.testing.assert_allclose(found, np.sign(start), atol=1e-4)
    assert (np.diff(energies) <= 0).all()


def test_on_the_sphere_positions_stay_there():
    """The direction in which a^T x is least is -a."""
    away = np.random.default_rng(1).normal(size=(10, 3))

    def energy(x):
        return (torch.as_tensor(away) * torch.nn.functional.normalize(x, dim=1)).sum()

    start = unit(np.random.default_rng(2).normal(size=(10, 3)))
    found, energies = minimise(energy, 5 * start, np.asarray, CPU, n_iterations=200, tolerance=1e-14)
    np.testing.assert_allclose(found, -unit(away), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    assert (np.diff(energies) <= 0).all()


def test_ends_at_a_minimum_and_after_so_many_steps(quadratic):
    _, energy, solution, start = quadratic
    _, energies = least(energy, solution)
    assert len(energies) <= 3
    _, energies = least(energy, start, n_iterations=4)
    assert len(energies) == 5
