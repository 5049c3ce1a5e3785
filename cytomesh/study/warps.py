"""In-plane displacement fields: how the pixels of a section move before its plane is laid into the brain."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cytomesh.core.errors import TransformError
from cytomesh.core.reading import DAMAGE, regular_size
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.transforms import open_field

MAX_ITERATIONS = 100
TOLERANCE_PX = 1e-4
# Fields whose displacement changes by this much a pixel come close to folding, and cannot be inverted.
MAX_STRETCH = 0.9
ARRAYS = ("displacement_px", "origin_px", "step_px")
MAX_BYTES = 2**31
MISSING = "correct the column displacement of the section table, or write n/a"


@dataclass(frozen=True, slots=True)
class InPlaneWarp:
    """Displacements in pixels on a regular grid over a section's full-resolution image.

    Parameters
    ----------
    values : (rows, columns, 2) float64
        What is added to a pixel's (column, row) at each grid point, px.
    origin_px, step_px : (2,) float64
        Place of grid point (0, 0), and the distance of grid points, along (column, row), px. Beyond the grid the
        displacement of its border goes on.

    Raises
    ------
    TransformError
        If the field is not finite, has fewer than 2 x 2 grid points, or folds.
    """

    values: NDArray[np.float64]
    origin_px: NDArray[np.float64]
    step_px: NDArray[np.float64]

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float64)
        origin, step = (np.asarray(item, np.float64) for item in (self.origin_px, self.step_px))
        if values.ndim != 3 or values.shape[2] != 2 or min(values.shape[:2]) < 2 or not np.isfinite(values).all():
            found = f"shape {values.shape}" if np.isfinite(values).all() else "displacements that are not finite"
            raise TransformError("in-plane displacement", found=found, expected="(rows, columns, 2), finite")
        if origin.shape != (2,) or step.shape != (2,) or not (step > 0).all() or not np.isfinite([origin, step]).all():
            found = f"origin {origin.tolist()}, step {step.tolist()}"
            raise TransformError(
                "in-plane displacement", found=found, expected="two finite numbers each, steps above 0"
            )
        change = max(
            float(np.abs(np.diff(values, axis=axis)).sum(axis=2).max(initial=0.0)) / step[1 - axis] for axis in (0, 1)
        )
        if change > MAX_STRETCH:
            raise TransformError(
                "in-plane displacement",
                found=f"a displacement that changes by {change:.2f} px from pixel to pixel",
                expected=f"at most {MAX_STRETCH:g}: a field that does not fold",
                hint="smooth the field, and check that its numbers are in the declared unit",
            )
        for name, value in (("values", values), ("origin_px", origin), ("step_px", step)):
            object.__setattr__(self, name, value)

    def at(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the displacement (n, 2), px, at (n, 2) pixels (column, row): bilinear."""
        grid = ((np.asarray(pixels, np.float64) - self.origin_px) / self.step_px)[:, ::-1].T
        parts = [map_coordinates(self.values[..., i], grid, order=1, mode="nearest") for i in (0, 1)]
        return np.stack(parts, axis=1)

    def apply(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move (n, 2) pixels of the image to where the plane's matrix expects them."""
        pixels = np.asarray(pixels, np.float64)
        return pixels + self.at(pixels)

    def invert(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move (n, 2) pixels back into the image: the fixed point of p <- q - d(p), which converges without folds."""
        start = np.asarray(pixels, np.float64)
        current = start - self.at(start)
        for _ in range(MAX_ITERATIONS):
            following = start - self.at(current)
            step = np.abs(following - current).max(initial=0.0)
            current = following
            if step < TOLERANCE_PX:
                break
        return current


def warped_plane(section: Section) -> SectionPlane:
    """Return a section's plane with its in-plane displacement, if it has one.

    Raises
    ------
    TransformError
        If the displacement file is missing, unreadable, malformed or folds.
    """
    if section.displacement is None:
        return section.plane
    return replace(section.plane, warp=read_warp(section.displacement, section.um_per_px))


def read_warp(path: Path, um_per_px: float) -> InPlaneWarp:
    """Read an in-plane displacement field.

    NIfTI: (columns, rows[, 1[, 1]], 2), (column, row) components in mm; the affine's diagonal and translation place the
    grid in mm from the centre of pixel (0, 0) along columns and rows. `.npz`: arrays `displacement_px` (rows, columns,
    2), `origin_px` (2,) and `step_px` (2,), all in pixels of the full-resolution image.
    """
    if path.suffix == ".npz":
        return _read_npz(path)
    field = open_field(path, missing="no such file", hint=MISSING)
    middle = field.shape[2:-1]
    values = field.read(np.float64)
    values = values.reshape(*values.shape[:2], -1) if middle in ((), (1,), (1, 1)) else values
    affine = field.affine
    if values.ndim != 3 or values.shape[2] != 2 or not np.allclose(affine[:2, :2], np.diag(np.diag(affine[:2, :2]))):
        found = f"shape {field.shape}, affine {affine[:2].tolist()}"
        expected = "(columns, rows, 2) on a grid along the image's columns and rows"
        raise TransformError(path, found=found, expected=expected)
    mm_per_px = um_per_px / 1000.0
    try:
        return InPlaneWarp(
            values.transpose(1, 0, 2) / mm_per_px, affine[:2, 3] / mm_per_px, np.diag(affine)[:2] / mm_per_px
        )
    except TransformError as cause:
        raise TransformError(path, cause.place, found=cause.found, expected=cause.expected, hint=cause.hint) from cause


def _read_npz(path: Path) -> InPlaneWarp:
    try:
        regular_size(path)
        with zipfile.ZipFile(path) as archive:
            return InPlaneWarp(*(_array(archive, name) for name in ARRAYS))
    except TransformError as cause:
        raise TransformError(path, cause.place, found=cause.found, expected=cause.expected, hint=cause.hint) from cause
    except FileNotFoundError as cause:
        raise TransformError(path, found="no such file", hint=MISSING) from cause
    except KeyError as cause:
        raise TransformError(path, found=f"no array: {cause}", expected=f"arrays {', '.join(ARRAYS)}") from cause
    except DAMAGE as cause:
        raise TransformError(path, found=f"a field that cannot be read ({cause})", expected="NIfTI or .npz") from cause


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[np.float64]:
    """Read an array of numbers whose size is as large as the archive says, before memory is asked for."""
    size = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{name} is no array (.npy)")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        n_bytes = math.prod(shape) * dtype.itemsize
        if dtype.kind not in "iuf" or min(shape, default=0) < 0 or stream.tell() + n_bytes != size or size > MAX_BYTES:
            raise ValueError(f"{name} of {shape} {dtype} in {size:,} bytes")
    with archive.open(f"{name}.npy") as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), np.float64)
