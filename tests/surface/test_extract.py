"""Marching tetrahedra: closed manifolds with the digital topology, vertices where the field crosses zero."""

import numpy as np
import pytest
from scipy import ndimage

from cytomesh.surface.extract import marching_tetrahedra
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import self_intersections
from cytomesh.surface.topology import euler_number


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sigma", [0.0, 1.2])
def test_random_blobs_are_closed_manifolds_with_the_digital_euler_number(seed, sigma):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((14, 13, 12)), sigma).astype(np.float32)
    field[[0, -1]] = field[:, [0, -1]] = field[:, :, [0, -1]] = -0.1
    mesh = Mesh(*marching_tetrahedra(field, (field > 0).astype(np.uint8)))
    assert mesh.is_closed
    assert mesh.euler_number == 2 * euler_number(field > 0)
    assert mesh.volume_mm3 > 0
    assert len(self_intersections(mesh)) == 0


def test_sphere_has_its_radius():
    x, y, z = np.mgrid[-11:12, -11:12, -11:12]
    field = (8.3 - np.sqrt(x**2 + y**2 + z**2)).astype(np.float32)
    vertices, faces = marching_tetrahedra(field, (field > 0).astype(np.uint8))
    radius = np.linalg.norm(vertices - 11, axis=1)
    assert abs(radius - 8.3).max() < 0.06
    assert Mesh(vertices, faces).volume_mm3 == pytest.approx(4 / 3 * np.pi * 8.3**3, rel=0.02)


def test_the_object_wins_over_the_sign_of_the_field():
    field = np.full((5, 5, 5), -1.0, np.float32)
    state = np.zeros(field.shape, np.uint8)
    state[2, 2, 2] = 1
    mesh = Mesh(*marching_tetrahedra(field, state))
    assert mesh.is_closed
    assert mesh.euler_number == 2
    assert np.linalg.norm(mesh.vertices - 2, axis=1).max() < 0.1
