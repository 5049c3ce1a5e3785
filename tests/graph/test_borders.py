import numpy as np

from cytomesh.graph.borders import borders
from tests.conftest import sphere_mesh


def test_one_closed_line_around_a_cap():
    mesh = sphere_mesh(4, 40.0)
    labels = np.where(mesh.vertices[:, 2] > 1, 2, 1).astype(np.int32)
    (line,) = borders(mesh, labels)
    assert line.areas == (1, 2)
    np.testing.assert_array_equal(line.points[0], line.points[-1])
    assert 2 * np.pi * 40 < line.length_mm < 1.3 * 2 * np.pi * 40  # zigzag of a mesh
    assert np.abs(line.points[:, 2]).max() < 4


def test_three_areas_meet_twice():
    mesh = sphere_mesh(4, 40.0)
    angle = np.arctan2(mesh.vertices[:, 1], mesh.vertices[:, 0])
    labels = (1 + np.digitize(angle, [-2.0, 0.5])).astype(np.int32)  # three sectors, from pole to pole
    labels[angle > 2.9] = 1
    lines = borders(mesh, labels)
    assert sorted({line.areas for line in lines}) == [(1, 2), (1, 3), (2, 3)]
    ends = np.array([point for line in lines for point in (line.points[0], line.points[-1])])
    corners = np.unique(np.round(ends, 6), axis=0)
    assert all((np.round(ends, 6) == corner).all(axis=1).sum() == 3 for corner in corners)


def test_every_mixed_edge_is_crossed_once():
    mesh = sphere_mesh(3, 40.0)
    labels = np.random.default_rng(0).integers(1, 4, mesh.n_vertices).astype(np.int32)
    i, j = mesh.edges.T
    cut = labels[i] != labels[j]
    middles = {tuple(p) for p in np.round((mesh.vertices[i] + mesh.vertices[j])[cut] / 2, 6).tolist()}
    passed = {tuple(p) for line in borders(mesh, labels) for p in np.round(line.points, 6).tolist()}
    assert middles <= passed
    centroids = {tuple(p) for p in np.round(mesh.vertices[mesh.faces].mean(axis=1), 6).tolist()}
    assert passed - middles <= centroids


def test_no_border_within_one_area():
    mesh = sphere_mesh(1, 40.0)
    assert borders(mesh, np.ones(mesh.n_vertices, np.int32)) == []
