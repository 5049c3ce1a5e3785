"""Where a section lies in the brain: a plane with a pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import TransformError

# Below this sine of the angle between the two pixel axes (about 0.6 degrees) the plane is not defined any more.
MIN_SINE = 0.01


@dataclass(frozen=True, slots=True)
class SectionPlane:
    """Where a section lies in the brain.

    Parameters
    ----------
    to_world : (3, 3) float64
        Columns: step per pixel column, step per pixel row, centre of pixel (0, 0); RAS, mm.

    Raises
    ------
    TransformError
        If the matrix is not 3 x 3 and finite, or its steps are zero or parallel.
    """

    to_world: NDArray[np.float64]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.to_world, np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise TransformError("to_world", found=str(matrix.tolist()), expected="3 x 3 finite numbers")
        lengths = np.linalg.norm(matrix[:, :2], axis=0)
        area = float(np.linalg.norm(np.cross(matrix[:, 0], matrix[:, 1])))
        if not lengths.all() or area < MIN_SINE * lengths.prod():
            raise TransformError(
                "to_world",
                found=f"pixel steps {matrix[:, 0].tolist()} and {matrix[:, 1].tolist()} mm that span no plane",
                expected="steps neither zero nor parallel (columns: step per pixel column, per pixel row, origin)",
            )
        object.__setattr__(self, "to_world", matrix)

    def world(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 2) (column, row) pixels to (n, 3) world positions in mm."""
        return np.asarray(pixels, np.float64) @ self.to_world[:, :2].T + self.to_world[:, 2]

    def pixels(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) world positions in mm to (n, 2) (column, row) pixels of their orthogonal projection."""
        inverse = np.linalg.pinv(self.to_world[:, :2])
        return (np.asarray(world, np.float64) - self.to_world[:, 2]) @ inverse.T

    def distance(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signed distance in mm of (n, 3) world positions from the plane, positive along `normal`."""
        return (np.asarray(world, np.float64) - self.to_world[:, 2]) @ self.normal

    def directions(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) world directions to (n, 2) (column, row) directions within the plane."""
        return np.asarray(world, np.float64) @ np.linalg.pinv(self.to_world[:, :2]).T

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal (3,), its largest component positive: independent of how the image is flipped."""
        normal = np.cross(self.to_world[:, 0], self.to_world[:, 1])
        normal /= np.linalg.norm(normal)
        return normal if normal[np.abs(normal).argmax()] > 0 else -normal

    @property
    def offset_mm(self) -> float:
        """Position of the plane along its normal, mm (the y coordinate of a coronal section)."""
        return float(self.to_world[:, 2] @ self.normal)

    @property
    def um_per_px(self) -> tuple[float, float]:
        """Length in world space of one (column, row) step, um."""
        column, row = 1000 * np.linalg.norm(self.to_world[:, :2], axis=0)
        return float(column), float(row)
