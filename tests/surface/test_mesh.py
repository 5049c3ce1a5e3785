import numpy as np
import pytest
import trimesh

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.mesh import Mesh, edge_lengths, mean_curvature
from tests.conftest import sphere_mesh


def test_sphere_measures():
    mesh = sphere_mesh(4, 50.0)
    assert mesh.euler_number == 2
    assert mesh.is_closed
    assert mesh.n_components == 1
    assert mesh.area_mm2 == pytest.approx(4 * np.pi * 50**2, rel=2e-3)
    assert mesh.volume_mm3 == pytest.approx(4 / 3 * np.pi * 50**3, rel=4e-3)
    assert mesh.vertex_areas.sum() == pytest.approx(mesh.area_mm2)
    np.testing.assert_allclose(mesh.vertex_normals, mesh.vertices / 50.0, atol=8e-3)


def test_adjacency_against_a_loop():
    mesh = sphere_mesh(1)
    neighbours = {i: set() for i in range(mesh.n_vertices)}
    for a, b, c in mesh.faces.tolist():
        neighbours[a] |= {b, c}
        neighbours[b] |= {a, c}
        neighbours[c] |= {a, b}
    adjacency = mesh.adjacency()
    assert all(set(adjacency[i].indices.tolist()) == neighbours[i] for i in range(mesh.n_vertices))
    assert len(mesh.edges) == sum(map(len, neighbours.values())) // 2


def test_open_and_doubled_meshes_are_seen():
    mesh = sphere_mesh(1)
    opened = Mesh(mesh.vertices, mesh.faces[1:])
    assert (opened.is_closed, opened.euler_number) == (False, 1)
    both = Mesh(np.vstack([mesh.vertices, mesh.vertices + 200]), np.vstack([mesh.faces, mesh.faces + mesh.n_vertices]))
    assert (both.n_components, both.euler_number) == (2, 4)
    flipped = Mesh(mesh.vertices, np.vstack([mesh.faces[:1, ::-1], mesh.faces[1:]]))
    assert not flipped.is_closed


def test_edge_lengths_are_symmetric_and_keep_coinciding_neighbours_connected():
    mesh = sphere_mesh(1)
    vertices = mesh.vertices.copy()
    i, j = mesh.edges[7]
    vertices[i] = vertices[j]
    lengths = edge_lengths(vertices, mesh.adjacency())
    assert (lengths != lengths.T).nnz == 0
    assert lengths.nnz == 2 * len(mesh.edges)
    for a, b in mesh.edges:
        assert lengths[a, b] == pytest.approx(np.linalg.norm(vertices[a] - vertices[b]), abs=1e-6)


def test_trimesh_keeps_every_vertex_in_place():
    mesh = sphere_mesh(1)
    doubled = Mesh(np.vstack([mesh.vertices, mesh.vertices[:5]]), mesh.faces)  # unused copies of vertices
    np.testing.assert_array_equal(doubled.to_trimesh().vertices, doubled.vertices)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((3, 2)), [[0, 1, 2]], "expected"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], "vertex 0"),
        (np.zeros((3, 3)), [[0, 1, 3]], "vertex index 3"),
    ],
)
def test_bad_meshes_are_refused(vertices, faces, message):
    with pytest.raises(SurfaceError, match=message):
        Mesh(vertices, np.array(faces))


def test_vertex_numbers_are_whole():
    mesh = sphere_mesh(1)
    assert Mesh(mesh.vertices, mesh.faces.astype(np.float32)).faces.dtype == np.int64
    for wrong in (0.5, np.nan):
        with pytest.raises(SurfaceError, match="not whole"):
            Mesh(mesh.vertices, mesh.faces + wrong)


def test_the_border_of_an_open_surface_is_the_edges_of_one_triangle():
    sphere = sphere_mesh(1)
    assert len(sphere.border) == 0
    opened = Mesh(sphere.vertices, sphere.faces[1:])
    assert sorted(map(tuple, opened.border.tolist())) == sorted(
        tuple(sorted((int(a), int(b)))) for a, b in zip(sphere.faces[0], np.roll(sphere.faces[0], -1), strict=True)
    )


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
