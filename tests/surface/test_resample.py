"""Remeshing: even triangles of the wanted length, same topology, still on the level."""

import numpy as np
import pytest

from cytomesh.surface.extract import marching_tetrahedra
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.resample import resample
from cytomesh.surface.tracing import sample


def torus() -> np.ndarray:
    x, y, z = np.mgrid[-20:21, -20:21, -8:9]
    return (5.3 - np.hypot(np.hypot(x, y) - 12.0, z)).astype(np.float32)


@pytest.mark.parametrize("edge_length", [0.6, 1.0, 2.5])
def test_torus_keeps_its_hole_and_gets_even_triangles(edge_length):
    field = torus()
    vertices, faces = resample(*marching_tetrahedra(field, (field > 0).astype(np.uint8)), field, 0.0, edge_length)
    mesh = Mesh(vertices, faces)
    assert mesh.is_closed
    assert mesh.euler_number == 0
    assert np.abs(sample(field, vertices)).max() < 0.02
    lengths = np.linalg.norm(vertices[mesh.edges[:, 0]] - vertices[mesh.edges[:, 1]], axis=1)
    assert lengths.mean() == pytest.approx(edge_length, rel=0.1)
    assert lengths.std() < 0.25 * lengths.mean()
    valence = np.bincount(mesh.edges.ravel())
    assert ((valence >= 5) & (valence <= 7)).mean() > 0.9
    assert mesh.volume_mm3 == pytest.approx(2 * np.pi**2 * 12 * 5.3**2, rel=0.06)


def test_a_stalk_thinner_than_an_edge_survives():
    x, y, z = np.mgrid[-16:17, -9:10, -9:10]
    ball = np.maximum(6 - np.hypot(np.hypot(x - 9, y), z), 6 - np.hypot(np.hypot(x + 9, y), z))
    field = np.maximum(ball, 1.2 - np.hypot(y, z) - 10 * (np.abs(x) > 9)).astype(np.float32)
    vertices, faces = resample(*marching_tetrahedra(field, (field > 0).astype(np.uint8)), field, 0.0, 2.0)
    mesh = Mesh(vertices, faces)
    assert mesh.is_closed
    assert mesh.euler_number == 2
    assert mesh.n_components == 1
    assert np.abs(sample(field, vertices)).max() < 0.1
