"""Sections as slices of NIfTI volumes, or as 2D NIfTI images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.study.image_formats.part import THE_ONLY, ImagePart
from cytomesh.study.image_formats.reader import DTYPES, HINT_AGAIN, ImageHeader, ImageLevel, ImageReader, refuse_size
from cytomesh.study.nifti import Nifti, open_nifti
from cytomesh.study.units import square_um

MM_TO_UM = 1000.0


class NiftiReader(ImageReader):
    """Slices along the third axis, one channel: pixel (column i, row j) is voxel (i, j), whatever the affine says.

    Where it lies in the brain, the section table's `to_world` says. Values that are scaled, or of other types than
    images have, are floating point.
    """

    suffixes = (".nii", ".nii.gz")
    decodes_whole = True

    @classmethod
    def read_header(cls, path: Path) -> ImageHeader:
        """Read the header of a file of one slice."""
        return cls.read_part(path, THE_ONLY)

    @classmethod
    def read_part(cls, path: Path, part: ImagePart) -> ImageHeader:
        """Read the same of one of several slices."""
        volume = _open(path)
        width, height, n_slices = _grid(volume)
        refuse_size(path, (height, width), height * width, "save it as OME-Zarr")
        if part.scene is None and n_slices > 1:
            hint = f"name it, 0 to {n_slices - 1}, in the column scene of the section table, or by --scene"
            raise ImageError(path, found=f"{n_slices} slices", expected="one", hint=hint)
        if part.scene is not None and part.scene >= n_slices:
            expected = f"one of 0 to {n_slices - 1}"
            raise ImageError(path, found=f"no slice {part.scene}", expected=expected, hint="correct the column scene")
        return ImageHeader(
            path, 1, (ImageLevel("0", (height, width)),), _um_per_px(volume), "xyz", _dtype(volume), part=part
        )

    def __init__(self, header: ImageHeader) -> None:
        super().__init__(header)
        self._volume = _open(header.path)

    def decode(self, level: int, rows: slice, columns: slice) -> NDArray[Any]:  # noqa: ARG002
        """Read a window of the slice."""
        rest = (self.header.part.scene or 0, 0, 0, 0, 0)[: len(self._volume.shape) - 2]
        values = self._volume.read(self.header.dtype, (columns, rows, *rest))
        return np.ascontiguousarray(values.T[..., None])

    def decode_all(self) -> None:
        """Read the slice."""
        self.read(0, slice(None), slice(None))


def _open(path: Path) -> Nifti:
    return open_nifti(path, ImageError, missing="no such image", hint=HINT_AGAIN, needs_place=False)


def _grid(volume: Nifti) -> tuple[int, int, int]:
    """Return the size along i, j and the third axis."""
    shape = volume.shape
    if len(shape) < 2 or max(shape[3:], default=1) > 1:
        expected = "a 2D or 3D volume of one value a voxel"
        raise ImageError(volume.path, found=f"shape {shape}", expected=expected, hint="write one volume a channel")
    return shape[0], shape[1], shape[2] if len(shape) > 2 else 1


def _dtype(volume: Nifti) -> str:
    """Return the type of pixels: as stored, if it is one of images, and the header scales nothing."""
    stored, scaled = volume.image.get_data_dtype(), volume.image.dataobj
    name = np.dtype(stored).newbyteorder("=").name
    return name if name in DTYPES and (scaled.slope, scaled.inter) == (1, 0) else "float32"


def _um_per_px(volume: Nifti) -> float | None:
    """Return the pixel size; None where the header names no unit, or nothing but what every header begins with."""
    steps = np.linalg.norm(volume.affine[:3, :2], axis=0) * MM_TO_UM
    is_blank = not volume.is_oriented and np.allclose(volume.image.header.get_zooms()[:2], 1)
    if volume.unit == "unknown" or is_blank:
        return None
    return square_um(volume.path, float(steps[0]), float(steps[1]))
