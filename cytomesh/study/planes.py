"""Where a section lies in the brain: a plane with a pixel grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import TransformError

# Below this sine of the angle between the two pixel axes (about 0.6 degrees) the plane is not defined any more.
MIN_SINE = 0.01


class Warp(Protocol):
    """An invertible map of the image plane, (n, 2) pixels to (n, 2) pixels."""

    def apply(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move pixels of the image to where the plane's matrix expects them."""

    def invert(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move them back."""


@dataclass(frozen=True, slots=True)
class SectionPlane:
    """Where a section lies in the brain.

    Parameters
    ----------
    to_world : (3, 3) float64
        Columns: step per pixel column, step per pixel row, centre of pixel (0, 0); RAS, mm.
    warp : Warp or None
        In-plane displacement that image pixels undergo before `to_world` (see `cytomesh.study.warps`).

    Raises
    ------
    TransformError
        If the matrix is not 3 x 3 and finite, or its steps are zero or parallel.

    Examples
    --------
    >>> import numpy as np
    >>> coronal = np.array([[0.1, 0, -12], [0, 0, 30], [0, -0.1, 12]])  # 100 um/px at y = 30 mm
    >>> plane = SectionPlane(coronal)
    >>> plane.world(np.array([[120.0, 20.0]])).tolist()  # column, row
    [[0.0, 30.0, 10.0]]
    """

    to_world: NDArray[np.float64]
    warp: Warp | None = None

    def __post_init__(self) -> None:
        matrix = np.asarray(self.to_world, np.float64)
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise TransformError("to_world", found=str(matrix.tolist()), expected="3 x 3 finite numbers")
        lengths = np.linalg.norm(matrix[:, :2], axis=0)
        area = float(np.linalg.norm(_cross(matrix)))
        if not lengths.all() or area < MIN_SINE * lengths.prod():
            raise TransformError(
                "to_world",
                found=f"pixel steps {matrix[:, 0].tolist()} and {matrix[:, 1].tolist()} mm that span no plane",
                expected="steps neither zero nor parallel (columns: step per pixel column, per pixel row, origin)",
            )
        object.__setattr__(self, "to_world", matrix)

    def straight(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move (n, 2) pixels of the image to where `to_world` alone maps them; the same without a warp."""
        pixels = np.asarray(pixels, np.float64)
        return pixels if self.warp is None else self.warp.apply(pixels)

    def world(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 2) (column, row) pixels to (n, 3) world positions in mm."""
        return self.straight(pixels) @ self.to_world[:, :2].T + self.to_world[:, 2]

    def pixels(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) world positions in mm to (n, 2) (column, row) pixels of their orthogonal projection."""
        inverse = np.linalg.pinv(self.to_world[:, :2])
        straight = (np.asarray(world, np.float64) - self.to_world[:, 2]) @ inverse.T
        return straight if self.warp is None else self.warp.invert(straight)

    def distance(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the signed distance in mm of (n, 3) world positions from the plane, positive along `normal`."""
        return (np.asarray(world, np.float64) - self.to_world[:, 2]) @ self.normal

    def directions(self, world: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (n, 3) world directions to (n, 2) (column, row) directions at (n, 2) image pixels `at`."""
        straight = np.asarray(world, np.float64) @ np.linalg.pinv(self.to_world[:, :2]).T
        if self.warp is None:
            return straight
        # columns of the warp's Jacobian by central differences over a pixel
        jacobian = np.stack(
            [self.warp.apply(at + step) - self.warp.apply(at - step) for step in 0.5 * np.eye(2)], axis=2
        )
        return np.asarray(np.linalg.solve(jacobian, straight[:, :, None])[:, :, 0], np.float64)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit normal (3,), its largest component positive: independent of how the image is flipped."""
        return plane_normal(self.to_world)

    @property
    def offset_mm(self) -> float:
        """Position of the plane along its normal, mm (the y coordinate of a coronal section)."""
        return float(self.to_world[:, 2] @ self.normal)

    @property
    def um_per_px(self) -> tuple[float, float]:
        """Length in world space of one (column, row) step, um."""
        column, row = 1000 * np.linalg.norm(self.to_world[:, :2], axis=0)
        return float(column), float(row)


def plane_normal(to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unit normal (3,) of a plane given as its 3 x 3 matrix, its largest component positive."""
    normal = _cross(to_world)
    normal /= np.linalg.norm(normal)
    return normal if normal[np.abs(normal).argmax()] > 0 else -normal


def _cross(to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cross product of the two pixel steps; `np.cross` takes ten times as long for a single one."""
    a, b = to_world[:, 0], to_world[:, 1]
    return a[[1, 2, 0]] * b[[2, 0, 1]] - a[[2, 0, 1]] * b[[1, 2, 0]]
