"""A coarse sphere with corners on the boundary encloses too little; shifted, it encloses the right volume."""

import numpy as np
import pytest
import trimesh

from cytomesh.surface.fit import chord_shift
from cytomesh.surface.mesh import Mesh


@pytest.mark.parametrize("sign", [1, -1])
def test_coarse_sphere_gets_its_volume_back(sign):
    x, y, z = np.mgrid[-15:16, -15:16, -15:16]
    field = (sign * (9.0 - np.sqrt(x**2 + y**2 + z**2))).astype(np.float32)
    ball = trimesh.creation.icosphere(2, 9.0)
    mesh = Mesh(ball.vertices + 15.0, ball.faces[:, ::sign])
    exact = 4 / 3 * np.pi * 9.0**3
    shifted = Mesh(mesh.vertices + chord_shift(mesh, field), mesh.faces)
    assert abs(mesh.volume_mm3) < 0.97 * exact
    assert abs(shifted.volume_mm3) == pytest.approx(exact, rel=0.006)


def test_the_other_bank_does_not_pull():
    # two half-spaces a hair apart; the triangle belongs to the lower one, its middle pokes into the upper one
    height = np.mgrid[0:9, 0:9, 0:9][2]
    field = np.abs(height - 4.0).astype(np.float32)
    mesh = Mesh(
        np.array([[2, 2, 4.4], [6, 2, 4.4], [4, 6, 4.4], [4, 4, 1.0]]),
        np.array([[0, 1, 2], [1, 0, 3], [2, 1, 3], [0, 2, 3]]),
    )
    top = chord_shift(Mesh(mesh.vertices, mesh.faces[:1]), field)
    assert np.abs(top).max() == 0
