import math

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.assemble import joined_adjacency
from cytomesh.classify.edges import dihedral_angles, edge_attributes, kept_entries
from cytomesh.surface.mesh import Mesh


def ends(adjacency):
    return adjacency.indices, np.repeat(np.arange(adjacency.shape[0]), np.diff(adjacency.indptr))


def angle_by_loops(mesh, i, j):
    """Both faces, their normals, and on which side of the one the far corner of the other lies."""
    faces = [face for face in mesh.faces.tolist() if i in face and j in face]
    normals = []
    for a, b, c in faces:
        normal = np.cross(mesh.vertices[b] - mesh.vertices[a], mesh.vertices[c] - mesh.vertices[a])
        normals.append(normal / np.linalg.norm(normal))
    angle = math.acos(np.clip(normals[0] @ normals[1], -1, 1))
    corner = next(v for v in faces[1] if v not in (i, j))
    return angle if (mesh.vertices[corner] - mesh.vertices[i]) @ normals[0] < 0 else -angle


def test_dihedral_angles_by_loops(synthetic):
    mesh = synthetic.sphere(1)
    bumps = np.random.default_rng(0).uniform(0.7, 1.3, (mesh.n_vertices, 1))
    mesh = Mesh(mesh.vertices * bumps, mesh.faces)  # crowns and fundi
    source, target = ends(mesh.adjacency())
    found = dihedral_angles(mesh, source.astype(np.int64), target)
    expected = [angle_by_loops(mesh, i, j) for i, j in zip(source.tolist(), target.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert min(found) < 0 < max(found)


def test_angle_at_the_rim_is_zero():
    square = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))
    source, target = ends(square.adjacency())
    angles = dihedral_angles(square, source.astype(np.int64), target)
    is_shared = ((source == 0) & (target == 2)) | ((source == 2) & (target == 0))
    assert (angles[~is_shared] == 0).all()
    assert (angles[is_shared] != 0).all()


def test_attributes_of_all_graphs_in_the_adjacency_s_order(synthetic):
    graphs = [synthetic.graph("B01", subdivisions=2), synthetic.graph("B02", subdivisions=1)]
    adjacency = joined_adjacency(graphs)
    inputs = np.random.default_rng(0).normal(size=(adjacency.shape[0], 5)).astype(np.float32)
    found = edge_attributes(graphs, inputs, adjacency, ["length", "features"])
    source, target = ends(adjacency)
    positions = np.concatenate([graph.positions for graph in graphs])
    raw = np.stack([((v[source] - v[target]) ** 2).sum(1) ** 0.5 for v in (positions, inputs)], axis=1)
    for nodes in (target < graphs[0].n_nodes, target >= graphs[0].n_nodes):
        expected = (raw[nodes] - raw[nodes].mean(0)) / raw[nodes].std(0)
        np.testing.assert_allclose(found[nodes], np.clip(expected, -5, 5), atol=1e-4)
    assert edge_attributes(graphs, inputs, adjacency, []) is None


@pytest.mark.parametrize("nodes", [np.array([7, 3, 0, 9]), np.arange(20) % 3 == 0])
def test_kept_entries(nodes):
    adjacency = sp.random_array((20, 20), density=0.4, rng=np.random.default_rng(0), format="csr")
    np.testing.assert_array_equal(adjacency.data[kept_entries(adjacency, nodes)], adjacency[nodes][:, nodes].data)


def test_of_faces_on_top_of_each_other_the_first_counts(synthetic):
    mesh = synthetic.sphere(1)
    doubled = Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:3]]))
    source, target = ends(mesh.adjacency())
    once, again = (dihedral_angles(each, source.astype(np.int64), target) for each in (mesh, doubled))
    np.testing.assert_allclose(np.abs(again), np.abs(once), atol=1e-9)
