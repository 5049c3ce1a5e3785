"""Depth potential against a dense solution, and where it is high."""

import numpy as np

from cytomesh.register.folding import depth_potential
from cytomesh.register.operators import stiffness
from cytomesh.surface.mesh import Mesh, mean_curvature
from tests.register.bodies import ball, bumpy


def grooved(depth_mm=6.0):
    """A ball of 50 mm with a groove along its equator, a hill at each pole of y."""
    sphere = ball(4)
    _, y, z = sphere.vertices.T
    radius = 50.0 - depth_mm * np.exp(-((z / 0.12) ** 2)) + depth_mm * np.exp(-(1 - np.abs(y)) / 0.02)
    return Mesh(sphere.vertices * radius[:, None], sphere.faces)


def test_is_the_dense_solution():
    surface = bumpy(2)
    lengths = [2.0, 10.0, 40.0]
    found = depth_potential(surface, lengths)
    areas, curvature = surface.vertex_areas, mean_curvature(surface)
    middle = (areas * curvature).sum() / areas.sum()
    for length, column in zip(lengths, found.T, strict=True):
        matrix = np.diag(areas) / length**2 + stiffness(surface).toarray()
        np.testing.assert_allclose(column, np.linalg.solve(matrix, 2 * areas * (middle - curvature)))
    np.testing.assert_allclose(areas @ found, 0.0, atol=1e-6 * areas.sum())


def test_high_in_grooves_and_low_on_hills_at_any_scale():
    surface = grooved()
    _, y, z = ball(4).vertices.T
    is_groove, is_hill = (np.abs(z) < 0.03) & (np.abs(y) < 0.5), np.abs(y) > 0.99
    for column in depth_potential(surface, [3.0, 12.0, 40.0]).T:
        assert column[is_groove].min() > 0
        assert column[is_hill & (np.abs(z) > 0.05)].max() < column[is_groove].min()


def test_with_short_lengths_it_is_the_curvature():
    surface = grooved()
    column = depth_potential(surface, [0.3])[:, 0]
    assert np.corrcoef(column, -mean_curvature(surface))[0, 1] > 0.99


def test_with_long_lengths_deeper_grooves_are_deeper():
    z = ball(4).vertices[:, 2]
    bottoms = [depth_potential(grooved(d), [20.0])[np.abs(z) < 0.01].mean() for d in (3.0, 6.0)]
    assert bottoms[1] > 1.4 * bottoms[0]
