import numpy as np
import pytest

from cytomesh.core.errors import SurfaceError
from cytomesh.surface.mesh import Mesh, edge_lengths
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
