"""The directions of a stack of sections."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def plane_normals(to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit normals of planes, (n, 3), all on the side that the first one's is on.

    Parameters
    ----------
    to_world : (n, 3, 3) float64
        Homogeneous pixel coordinates (column, row, 1) to mm, one matrix a plane.
    """
    normals = np.cross(to_world[:, :, 0], to_world[:, :, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals * np.where(normals @ normals[0] < 0.0, -1.0, 1.0)[:, None], np.float64)


def stack_axes(to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes of a stack as columns of a rotation, (3, 3).

    The third is the planes' mean normal, whichever way images are flipped; the first is as near as can be to the first
    plane's columns.
    """
    third = plane_normals(to_world).mean(axis=0)
    third /= np.linalg.norm(third)
    first = to_world[0, :, 0] - (to_world[0, :, 0] @ third) * third
    first /= np.linalg.norm(first)
    return np.column_stack([first, np.cross(third, first), third])
