"""Where a direction hits a spherical mesh, against all its triangles; great circles."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from cytomesh.register.spherical import SphereLocator, exponential, icosphere, logarithm, tangent
from cytomesh.surface.mesh import Mesh, unit
from tests.register.bodies import ball, directions


def hit_by_loops(sphere, direction):
    """The triangle through which a ray leaves, and its barycentric coordinates there."""
    corners = unit(sphere.vertices)[sphere.faces].transpose(0, 2, 1)  # as columns
    shares = np.linalg.solve(corners, direction[:, None])[..., 0]
    face = int(np.flatnonzero((shares >= -1e-9).all(axis=1))[0])
    return face, shares[face] / shares[face].sum()


def hull(points):
    """The triangles that cover the sphere between some unit vectors, outward."""
    faces = ConvexHull(points).simplices
    inward = np.linalg.det(points[faces]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(points, faces)


def uneven():
    """A few large triangles around a dense patch, whose triangles' middles are nearer to any place beside it."""
    dense = unit(np.array([0.0, 0.0, 1.0]) + 0.02 * np.random.default_rng(3).normal(size=(400, 3)))
    return hull(np.concatenate([directions(12, seed=4), dense]))


def slender():
    """Rings of a globe: triangles at the poles are a hundred times as long as wide."""
    polar, around = np.meshgrid(np.linspace(0.2, np.pi - 0.2, 8), np.linspace(0, 2 * np.pi, 300, endpoint=False))
    ring = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    return hull(np.concatenate([ring.reshape(-1, 3), [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]]))


MESHES = {"even": ball(2), "of 100 mm": Mesh(100 * ball(1).vertices, ball(1).faces), "uneven": uneven()}


@pytest.mark.parametrize("sphere", [*MESHES.values(), slender()], ids=[*MESHES, "slender"])
def test_faces_and_weights_are_those_of_all_triangles(sphere):
    asked = np.concatenate([directions(60), unit([0.0, 0.0, 1.0] + 0.1 * directions(40, seed=1))])
    faces, weights = SphereLocator(sphere)(asked)
    for direction, face, own in zip(asked, faces, weights, strict=True):
        expected, shares = hit_by_loops(sphere, direction)
        assert face == expected
        np.testing.assert_allclose(own, shares, atol=1e-8)


def test_vertices_and_edges_are_hit():
    sphere = ball(2)
    locator = SphereLocator(sphere)
    np.testing.assert_allclose(unit(locator.interpolate(sphere.vertices, sphere.vertices)), sphere.vertices, atol=1e-9)
    middles = sphere.vertices[sphere.edges].mean(axis=1)
    np.testing.assert_allclose(locator.interpolate(unit(middles), sphere.vertices), middles, atol=1e-9)


@pytest.mark.parametrize("sphere", MESHES.values(), ids=MESHES)
def test_what_is_linear_in_each_triangle_is_interpolated_exactly(sphere):
    """The radius at which a ray leaves, in the plane of its triangle: positions themselves are linear there."""
    asked = directions(300, seed=7)
    places = SphereLocator(sphere).interpolate(asked, sphere.vertices)
    np.testing.assert_allclose(unit(places), asked, atol=1e-8)
    ones = SphereLocator(sphere).interpolate(asked, np.ones((sphere.n_vertices, 2)))
    np.testing.assert_allclose(ones, 1.0)


def test_a_triangle_without_area_is_never_hit():
    """A vertex on another: directions beside their edge belong to the triangles there."""
    sphere = ball(1)
    points = sphere.vertices.copy()
    one, other = sphere.edges[5]
    points[one] = points[other]
    squeezed = Mesh(points, sphere.faces)
    asked = unit(points[one] + 0.3 * directions(200))
    faces, _ = SphereLocator(squeezed)(asked)
    assert (np.linalg.det(points[sphere.faces[faces]]) > 1e-9).all()
    places = SphereLocator(squeezed).interpolate(asked, points)
    np.testing.assert_allclose(unit(places), asked, atol=1e-8)


def test_weights_are_shares_where_the_mesh_has_a_hole():
    sphere = ball(2)
    open_sphere = Mesh(sphere.vertices, sphere.faces[sphere.vertices[sphere.faces][..., 2].min(axis=1) < 0.8])
    asked = directions(500)
    faces, weights = SphereLocator(open_sphere)(asked)
    assert weights.min() >= 0
    hidden = open_sphere.vertices[open_sphere.faces].mean(axis=1)[faces]
    assert (hidden * asked).sum(axis=1).min() > 0.5  # not on the other side
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


@pytest.mark.parametrize("subdivisions", [0, 3])
def test_icospheres(subdivisions):
    sphere = icosphere(subdivisions)
    assert (sphere.n_vertices, sphere.euler_number) == (10 * 4**subdivisions + 2, 2)
    np.testing.assert_allclose(np.linalg.norm(sphere.vertices, axis=1), 1.0)
    assert (np.linalg.det(sphere.vertices[sphere.faces]) > 0).all()
    assert sphere.face_areas.max() < 1.5 * sphere.face_areas.min()


def test_exponential_and_logarithm_are_inverse_to_each_other():
    places, targets = directions(200), directions(200, seed=1)
    steps = logarithm(places, targets)
    np.testing.assert_allclose(exponential(places, steps), targets, atol=1e-12)
    np.testing.assert_allclose((steps * places).sum(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), np.arccos((places * targets).sum(axis=1)))
    short = 1e-7 * tangent(places, targets)
    np.testing.assert_allclose(logarithm(places, exponential(places, short)), short, rtol=1e-6, atol=1e-15)


def test_steps_of_none_and_almost_to_the_other_end():
    places = directions(5)
    np.testing.assert_array_equal(exponential(places, np.zeros((5, 3))), places)
    np.testing.assert_allclose(logarithm(places, places), 0.0, atol=1e-12)
    aside = unit(tangent(places, directions(5, seed=2)))
    far = (np.pi - 1e-6) * aside
    np.testing.assert_allclose(logarithm(places, exponential(places, far)), far, atol=1e-6)
    assert np.isfinite(logarithm(places, -places)).all()


def test_a_quarter_of_a_great_circle():
    x, y = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    np.testing.assert_allclose(exponential(x, y * np.pi / 2), y, atol=1e-15)
    np.testing.assert_allclose(tangent(x, x + 2 * y), 2 * y)
