"""The Laplacian of a mesh and smoothing with it, against loops, dense matrices and Gaussians."""

import numpy as np
import pytest

from cytomesh.register.operators import LEAST_WEIGHT, Heat, stiffness
from cytomesh.surface.mesh import Mesh
from tests.register.bodies import ball, bumps, bumpy, directions


def stiffness_by_loops(mesh):
    pulls = np.zeros((mesh.n_vertices, mesh.n_vertices))
    for face in mesh.faces:
        for corner in range(3):
            apex, i, j = np.roll(face, -corner)
            one, two = mesh.vertices[i] - mesh.vertices[apex], mesh.vertices[j] - mesh.vertices[apex]
            angle = np.arccos(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
            pulls[i, j] += 0.5 / np.tan(angle)
            pulls[j, i] += 0.5 / np.tan(angle)
    pulls[pulls != 0] = np.maximum(pulls[pulls != 0], LEAST_WEIGHT)
    return np.diag(pulls.sum(axis=1)) - pulls


@pytest.mark.parametrize("mesh", [ball(2), bumpy(2, depth=0.4)], ids=["even", "bumpy"])
def test_cotangents_are_those_of_the_angles(mesh):
    np.testing.assert_allclose(stiffness(mesh).toarray(), stiffness_by_loops(mesh), atol=1e-10)


def test_no_weight_is_negative_where_triangles_are_obtuse():
    mesh = bumpy(2, depth=0.4)
    squeezed = Mesh(mesh.vertices * [1.0, 1.0, 0.05], mesh.faces)
    matrix = stiffness(squeezed).toarray()
    assert (matrix - np.diag(np.diag(matrix)) <= 0).all()
    assert np.linalg.eigvalsh(matrix).min() > -1e-9
    np.testing.assert_allclose(matrix.sum(axis=1), 0.0, atol=1e-10)


def test_harmonics_of_the_sphere_have_their_eigenvalues():
    """z has eigenvalue 2, x y has 6: Laplace-Beltrami on the unit sphere."""
    sphere = ball(4)
    x, y, z = sphere.vertices.T
    for values, eigenvalue in ((z, 2.0), (x * y, 6.0)):
        found = values @ (stiffness(sphere) @ values) / (values @ (sphere.vertex_areas * values))
        assert found == pytest.approx(eigenvalue, rel=0.01)


def test_constants_stay_and_integrals_are_kept():
    mesh = bumpy(3)
    heat = Heat(mesh, 8.0)
    np.testing.assert_allclose(heat(np.full((mesh.n_vertices, 2), 3.0)), 3.0)
    values = np.random.default_rng(0).normal(size=(mesh.n_vertices, 2))
    smooth = heat(values)
    np.testing.assert_allclose(mesh.vertex_areas @ smooth, mesh.vertex_areas @ values)
    assert (smooth.std(axis=0) < 0.4 * values.std(axis=0)).all()
    assert smooth.min() >= values.min()
    assert smooth.max() <= values.max()


@pytest.mark.parametrize("sd", [0.15, 0.3])
def test_a_peak_becomes_as_wide_as_the_gaussian(sd):
    sphere = ball(5)
    peak = np.zeros((sphere.n_vertices, 1))
    peak[0] = 1.0 / sphere.vertex_areas[0]
    smooth = Heat(sphere, sd)(peak)[:, 0] * sphere.vertex_areas
    angle = np.arccos(np.clip(sphere.vertices @ sphere.vertices[0], -1, 1))
    # in the plane, the mean square of the distance is twice the variance; the sphere curves away a little
    assert np.sqrt(smooth @ angle**2 / 2) == pytest.approx(sd, rel=0.03)


def test_near_the_gaussian_of_smooth_patterns():
    """A harmonic of degree l falls to exp(-l (l + 1) sd^2 / 2); two implicit steps fall a little less."""
    sphere = ball(4)
    x, y, _ = sphere.vertices.T
    smooth = Heat(sphere, 0.2)((x * y)[:, None])[:, 0]
    assert smooth @ (x * y) / ((x * y) @ (x * y)) == pytest.approx(np.exp(-6 * 0.2**2 / 2), abs=0.006)


def test_is_the_dense_solution_of_two_steps():
    mesh = bumpy(2)
    values = bumps(directions(mesh.n_vertices))[:, None]
    areas = np.diag(mesh.vertex_areas)
    step = np.linalg.solve(areas + 5.0**2 / 4 * stiffness(mesh).toarray(), areas)
    np.testing.assert_allclose(Heat(mesh, 5.0)(values), step @ step @ values)
