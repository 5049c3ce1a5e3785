"""Surfaces that cross: opened where they do, untouched elsewhere."""

import numpy as np

from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import self_intersections
from cytomesh.surface.separate import draw_apart, untangle
from tests.conftest import sphere_mesh


def test_a_folded_corner_is_opened_and_the_rest_stays():
    sphere = sphere_mesh(3, 10.0)
    vertices = sphere.vertices.copy()
    neighbour = sphere.edges[sphere.edges[:, 0] == 100][0, 1]
    # over its neighbour and out again: the triangles behind it pass below the surface
    vertices[100] += 3.0 * (vertices[neighbour] - vertices[100])
    vertices[100] *= 10.1 / np.linalg.norm(vertices[100])
    folded = Mesh(vertices, sphere.faces)
    assert len(self_intersections(folded)) > 0
    mesh = untangle(folded)
    assert len(self_intersections(mesh)) == 0
    is_far = np.linalg.norm(vertices - sphere.vertices[100], axis=1) > 6
    assert is_far.sum() > 500
    assert np.array_equal(mesh.vertices[is_far], vertices[is_far])


def test_a_surface_that_does_not_cross_is_returned_as_it_is():
    sphere = sphere_mesh(2, 3.0)
    assert np.array_equal(untangle(sphere).vertices, sphere.vertices)


def lines(middle: Mesh, factor: np.ndarray) -> np.ndarray:
    share = np.linspace(0, 1, 9)[None, :, None]
    return middle.vertices[:, None] * (1 + (factor[:, None, None] - 1) * share)


def test_white_is_drawn_back_where_it_pokes_through_pial():
    middle = sphere_mesh(3, 5.0)
    is_poking = middle.vertices @ np.array([1.0, 0, 0]) > 4.6
    to_pial = lines(middle, np.where(is_poking, 1.02, 1.2))
    to_white = lines(middle, np.where(is_poking, 1.05, 0.8))
    pial, white, history = draw_apart(middle, to_pial, to_white)
    assert history[0] > 0
    assert history[-1] == 0
    both = Mesh(np.concatenate([pial.vertices, white.vertices]), np.concatenate([pial.faces, white.faces + 642]))
    assert len(self_intersections(both)) == 0
    is_far = middle.vertices[:, 0] < 3
    assert np.array_equal(pial.vertices[is_far], to_pial[is_far, -1])
    assert np.array_equal(white.vertices[is_far], to_white[is_far, -1])
