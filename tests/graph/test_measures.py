import numpy as np
import pytest
import trimesh

from cytomesh.graph.measures import mean_curvature
from cytomesh.surface.mesh import Mesh


@pytest.mark.parametrize("radius", [2.0, 50.0])
def test_a_sphere_has_the_inverse_of_its_radius(radius):
    sphere = trimesh.creation.icosphere(subdivisions=4)
    curvature = mean_curvature(Mesh(sphere.vertices * radius, sphere.faces))
    assert curvature * radius == pytest.approx(1.0, rel=0.15)
    assert curvature.mean() * radius == pytest.approx(1.0, rel=0.01)
    inward = mean_curvature(Mesh(sphere.vertices * radius, sphere.faces[:, ::-1]))
    assert inward == pytest.approx(-curvature)


def test_a_plane_is_flat_inside():
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij")
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 5, corner + 1], 1), np.stack([corner + 1, corner + 5, corner + 6], 1)]
    )
    mesh = Mesh(np.stack([x.ravel(), y.ravel(), np.zeros(25)], axis=1), faces)
    assert mean_curvature(mesh).reshape(5, 5)[1:-1, 1:-1] == pytest.approx(0.0, abs=1e-12)


def test_degenerate_and_isolated_vertices_get_zero():
    mesh = Mesh(np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [9, 9, 9]]), np.array([[0, 1, 2]]))
    assert (mean_curvature(mesh) == 0.0).all()
