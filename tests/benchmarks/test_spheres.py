import numpy as np

from benchmarks.register.spheres import coarser
from tests.conftest import sphere_mesh


def test_the_coarser_mesh_is_that_before_the_subdivision():
    fine, expected = sphere_mesh(4), sphere_mesh(3)
    found = coarser(fine)
    np.testing.assert_array_equal(found.vertices, fine.vertices[: expected.n_vertices])

    def turned(faces):  # the same triangles in the same sense, whichever corner is first
        return {tuple(np.roll(face, -int(face.argmin()))) for face in faces}

    assert turned(found.faces) == turned(expected.faces)
