import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cytomesh.surface.frame import plane_normals, stack_axes


def _planes(turn: Rotation, tilts_deg: list[float], flipped: list[bool]) -> np.ndarray:
    """Coronal planes, columns to the right, rows down; tilted about the columns, then turned as a whole."""
    planes = []
    for k, (tilt, is_flipped) in enumerate(zip(tilts_deg, flipped, strict=True)):
        down = Rotation.from_euler("x", tilt, degrees=True).apply([0.0, 0.0, -1.0])
        column = np.array([-1.0 if is_flipped else 1.0, 0.0, 0.0])
        planes.append(turn.as_matrix() @ np.column_stack([0.02 * column, 0.03 * down, [0.0, k, 0.0]]))
    return np.stack(planes)


def test_normals_agree_whichever_way_images_are_flipped() -> None:
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2])
    normals = plane_normals(_planes(turn, [0.0] * 4, [False, True, False, True]))
    assert np.allclose(normals, turn.apply([0.0, 1.0, 0.0]))


def test_axes_are_a_rotation_along_the_mean_normal() -> None:
    turn = Rotation.from_rotvec([-0.4, 0.1, 0.7])
    planes = _planes(turn, [-6.0, 0.0, 6.0], [False, True, False])
    axes = stack_axes(planes)
    assert np.allclose(axes.T @ axes, np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1.0)
    assert np.allclose(axes[:, 2], turn.apply([0.0, 1.0, 0.0]))
    assert np.allclose(axes[:, 0], turn.apply([1.0, 0.0, 0.0]))
