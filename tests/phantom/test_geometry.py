import numpy as np
import scipy.sparse as sp

from cytomesh.phantom.geometry import smoothing, subdivision
from cytomesh.surface.mesh import Mesh


def octahedron():
    vertices = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], float)
    faces = np.array([(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)])
    return Mesh(vertices, faces)


def test_template_is_two_spheres_with_separate_banks(cortex):
    for points in (cortex.pial, cortex.white, cortex.sphere):
        mesh = Mesh(points, cortex.faces)
        assert mesh.is_closed and mesh.euler_number == 2 and mesh.n_components == 1
        assert mesh.volume_mm3 > 0
    assert np.linalg.norm(cortex.pial - cortex.white, axis=1).min() > 0.9
    assert 0.03 < cortex.is_medial_wall.mean() < 0.10
    assert np.allclose(np.linalg.norm(cortex.sphere, axis=1), 1)


def test_medial_wall_is_one_patch(cortex):
    edges = cortex.edges[cortex.is_medial_wall[cortex.edges].all(axis=1)]
    n = len(cortex.pial)
    graph = sp.csr_matrix((np.ones(len(edges)), edges.T), shape=(n, n))
    _, component = sp.csgraph.connected_components(graph, directed=False)
    assert len(np.unique(component[cortex.is_medial_wall])) == 1


def test_subdivision_keeps_topology_and_affine_positions():
    mesh = octahedron()
    refine, faces = subdivision(mesh.faces, mesh.n_vertices)
    fine = Mesh(refine @ mesh.vertices, faces)
    assert fine.is_closed and fine.euler_number == 2 and fine.n_faces == 4 * mesh.n_faces
    assert np.allclose(np.asarray(refine.sum(axis=1)), 1)  # affine invariance
    # Loop's edge rule by hand: edge (0, 2) lies between the opposite corners 4 and 5
    expected = 3 / 8 * (mesh.vertices[0] + mesh.vertices[2]) + 1 / 8 * (mesh.vertices[4] + mesh.vertices[5])
    assert np.isclose(fine.vertices[6:], expected).all(axis=1).sum() == 1


def test_smoothing_is_the_mean_of_vertex_and_neighbours():
    mesh = octahedron()
    smooth = smoothing(mesh.faces, mesh.n_vertices) @ mesh.vertices
    neighbours = [0, 2, 3, 4, 5]  # of vertex 0, with itself
    assert np.allclose(smooth[0], mesh.vertices[neighbours].mean(axis=0))
