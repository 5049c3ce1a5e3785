"""Edge operations keep half-edges consistent and the surface a closed manifold."""

import numpy as np
import trimesh

from cytomesh.surface.halfedge import collapse_short, flip_uneven, leaving, relax, split_long, twins
from cytomesh.surface.mesh import Mesh


def arrays(mesh: Mesh) -> tuple[np.ndarray, ...]:
    faces = mesh.faces.copy()
    return faces, twins(faces), leaving(faces, mesh.n_vertices), mesh.vertices.copy()


def assert_consistent(faces: np.ndarray, twin: np.ndarray, first: np.ndarray, points: np.ndarray) -> None:
    alive = np.flatnonzero(np.repeat(faces[:, 0] >= 0, 3))
    start, end = faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    np.testing.assert_array_equal(twin[twin[alive]], alive)
    np.testing.assert_array_equal(start[twin[alive]], end[alive])
    used = np.flatnonzero(first >= 0)
    np.testing.assert_array_equal(start[first[used]], used)
    mesh = Mesh(points, faces[faces[:, 0] >= 0])
    assert mesh.is_closed
    assert mesh.euler_number == 0


def torus() -> tuple[Mesh, np.ndarray]:
    shape = trimesh.creation.torus(9.0, 4.0, major_sections=40, minor_sections=24)
    x, y, z = np.mgrid[-15:16, -15:16, -15:16]
    return Mesh(shape.vertices + 15.0, shape.faces), (4 - np.hypot(np.hypot(x, y) - 9, z)).astype(np.float32)


def test_twins_point_at_each_other():
    mesh, _ = torus()
    assert_consistent(*arrays(mesh))


def test_operations_in_turn_keep_the_torus():
    mesh, field = torus()
    state = split_long(*arrays(mesh), 1.0)
    assert len(state[3]) > mesh.n_vertices
    assert_consistent(*state)
    assert collapse_short(*state, field, 0.0, 1.5, 2.5) > 100
    assert_consistent(*state)
    assert flip_uneven(*state, field, 0.0) > 10
    assert_consistent(*state)


def test_relaxing_stays_in_the_tangent_plane():
    mesh, _ = torus()
    shift = relax(mesh.faces, mesh.vertices, 0.7) - mesh.vertices
    assert np.abs((shift * mesh.vertex_normals).sum(1)).max() < 1e-9
