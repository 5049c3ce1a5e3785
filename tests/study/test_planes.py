import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from cytomesh.core.errors import TransformError
from cytomesh.study.planes import SectionPlane

angles = st.floats(-180, 180)
coordinates = arrays(float, (5, 2), elements=st.floats(-1e4, 1e4))


@given(coordinates, angles, angles, st.floats(0.001, 0.2), st.floats(0.8, 1.2), st.floats(-0.3, 0.3))
def test_world_and_pixels_are_inverse(pixels, first, second, step, stretch, shear):
    axes = Rotation.from_euler("zx", [first, second], degrees=True).as_matrix()
    column, row = step * axes[:, 0], step * stretch * (axes[:, 1] + shear * axes[:, 0])
    plane = SectionPlane(np.column_stack([column, row, [3.0, -50.0, 7.0]]))
    world = plane.world(pixels)
    np.testing.assert_allclose(plane.pixels(world), pixels, atol=1e-6)
    np.testing.assert_allclose(plane.distance(world), 0, atol=1e-9 * max(1, abs(world).max()))
    off = world + 2.5 * plane.normal
    np.testing.assert_allclose(plane.pixels(off), pixels, atol=1e-6)  # orthogonal projection
    np.testing.assert_allclose(plane.distance(off), 2.5, atol=1e-9 * max(1, abs(world).max()))


def test_coronal_plane_has_its_y_as_offset_whatever_the_flip():
    right_down = SectionPlane(np.array([[0.02, 0, -60], [0, 0, 4.05], [0, -0.02, 50]]))
    left_down = SectionPlane(np.array([[-0.02, 0, 60], [0, 0, 4.05], [0, -0.02, 50]]))
    for plane in (right_down, left_down):
        np.testing.assert_allclose(plane.normal, [0, 1, 0], atol=1e-15)
        assert plane.offset_mm == pytest.approx(4.05)
        assert plane.um_per_px == pytest.approx((20, 20))


def test_directions_are_differences_of_pixels():
    plane = SectionPlane(np.array([[0.02, 0.003, -60], [0, 0.001, 4.05], [0, -0.02, 50]]))
    start, step = np.array([[1.0, 2.0, 3.0]]), np.array([[0.3, -0.2, 0.5]])
    np.testing.assert_allclose(
        plane.directions(step, start[:, :2]), plane.pixels(start + step) - plane.pixels(start), atol=1e-9
    )


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(4),
        np.full((3, 3), np.nan),
        np.array([[1.0, 2, 0], [0, 0, 0], [0, 0, 0]]),
        np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ],
    ids=["4x4", "nan", "parallel", "zero"],
)
def test_degenerate_planes_are_refused(matrix):
    with pytest.raises(TransformError, match="to_world"):
        SectionPlane(matrix)
