"""Distances and crossings against brute force."""

import numpy as np
import pytest
import trimesh

from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import contour_distances, point_to_surface, self_intersections, surface_distances


def sphere(radius: float, centre: tuple[float, float, float] = (0, 0, 0), subdivisions: int = 3) -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.asarray(ball.vertices) + np.asarray(centre), np.asarray(ball.faces))


def test_point_to_surface_agrees_with_all_triangles():
    mesh = sphere(5.0, subdivisions=2)
    points = np.random.default_rng(0).uniform(-8, 8, (60, 3))
    corners = mesh.vertices[mesh.faces]
    closest = [
        np.linalg.norm(trimesh.triangles.closest_point(corners, np.tile(p, (len(corners), 1))) - p, axis=1).min()
        for p in points
    ]
    np.testing.assert_allclose(point_to_surface(points, mesh), closest, atol=1e-9)


def test_concentric_spheres_are_their_radii_apart():
    distances = surface_distances(sphere(5.0), sphere(5.5))
    assert distances.forward_mean_mm == pytest.approx(0.5, abs=0.03)
    assert distances.backward_p95_mm == pytest.approx(0.5, abs=0.05)


def test_crossings_agree_with_brute_force():
    first, second = sphere(3.0, subdivisions=1), sphere(3.0, (2.0, 0.3, 0.2), subdivisions=1)
    mesh = Mesh(
        np.concatenate([first.vertices, second.vertices]),
        np.concatenate([first.faces, second.faces + first.n_vertices]),
    )
    corners = mesh.vertices[mesh.faces]
    expected = {
        (a, b)
        for a in range(first.n_faces)
        for b in range(first.n_faces, mesh.n_faces)
        if any(
            crosses(corners[p][i], corners[p][(i + 1) % 3], corners[q]) for p, q in ((a, b), (b, a)) for i in range(3)
        )
    }
    assert len(expected) > 20
    assert {tuple(pair) for pair in self_intersections(mesh).tolist()} == expected
    assert len(self_intersections(first)) == 0
    some = np.zeros(mesh.n_faces, bool)
    some[min(expected)[0]] = True
    found = self_intersections(mesh, some)
    assert {tuple(pair) for pair in found.tolist()} == {pair for pair in expected if min(expected)[0] in pair}


def crosses(p: np.ndarray, q: np.ndarray, triangle: np.ndarray) -> bool:
    """Solve p + t (q - p) = a + u (b - a) + v (c - a)."""
    a, b, c = triangle
    matrix = np.column_stack([p - q, b - a, c - a])
    if abs(np.linalg.det(matrix)) < 1e-12:
        return False
    t, u, v = np.linalg.solve(matrix, p - a)
    return bool(0 < t < 1 and u > 0 and v > 0 and u + v < 1)


def test_a_vertex_pushed_through_the_other_side_is_found():
    mesh = sphere(3.0)
    vertices = mesh.vertices.copy()
    vertices[0] = -1.3 * vertices[0]
    assert len(self_intersections(Mesh(vertices, mesh.faces))) > 0


def test_contour_distances_per_section(nested_spheres):
    sections = nested_spheres(5.2, 4.0, [-6, -2, 0, 3])
    found = contour_distances(sphere(5.0, (3, -2, 5), 4), sections, "pial")
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:, 0], 0.2, atol=0.02)
