"""Expert annotations of a section: label images, sampled at image positions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile
from numpy.typing import NDArray

from cytomesh.core.errors import ImageError
from cytomesh.core.labels import LabelTable
from cytomesh.study.headers import PLAIN_SUFFIXES, TIFF_SUFFIXES, open_plain, read_header
from cytomesh.study.sections import Section


@dataclass(frozen=True, slots=True)
class AnnotationImage:
    """Areas drawn on one section.

    Parameters
    ----------
    labels : (h, w) int32
        Label of each annotation pixel, 0 = none.
    um_per_px : float
        Pixel size of the annotation, um.
    image_um_per_px : float
        Pixel size of the section's full-resolution image, um. Corners of both images coincide.
    """

    labels: NDArray[np.int32]
    um_per_px: float
    image_um_per_px: float

    def sample(self, pixels: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the labels (n,) at (n, 2) (column, row) pixels of the section's image; 0 outside."""
        scale = self.image_um_per_px / self.um_per_px
        # Corner-based: both images begin at -0.5, whatever their pixel size.
        nearest = np.floor((np.asarray(pixels, np.float64) + 0.5) * scale + 1e-9)
        height, width = self.labels.shape
        inside = ((nearest >= 0) & (nearest < (width, height))).all(axis=1)
        result = np.zeros(len(nearest), np.int32)
        columns, rows = nearest[inside].astype(np.int64).T
        result[inside] = self.labels[rows, columns]
        return result


def read_annotation(section: Section, labels: LabelTable) -> AnnotationImage:
    """Read a section's annotation (PNG, TIFF, or NIfTI with axes column, row) and check its labels and size.

    Raises
    ------
    ImageError
        If it is missing, unreadable, not of whole numbers, or does not cover the section's image.
    AtlasError
        If it holds labels that are not in the study's table.
    """
    path = section.annotation
    if path is None:
        raise ImageError(section.name, found="no annotation", hint="declare it in the section table")
    array = read_label_image(path)
    labels.check(array, str(path))
    annotation = AnnotationImage(array, section.annotation_um_per_px or section.um_per_px, section.um_per_px)
    if section.image is not None:
        _check_size(path, annotation, read_header(section.image).shape)
    return annotation


def read_label_image(path: Path) -> NDArray[np.int32]:
    """Read a label image as (h, w) int32: PNG, TIFF, or NIfTI with axes column, row.

    Raises
    ------
    ImageError
        If it is missing, unreadable, or not one plane of whole numbers.
    """
    if not path.is_file():
        raise ImageError(path, found="no such annotation", hint="correct the path in the section table, or write n/a")
    name = path.name.lower()
    try:
        if name.endswith(PLAIN_SUFFIXES[:1]):
            with open_plain(path) as image:
                array: NDArray[Any] = np.asarray(image)
        elif name.endswith(TIFF_SUFFIXES):
            array = tifffile.imread(path)
        elif name.endswith((".nii", ".nii.gz")):
            array = np.asarray(nib.load(path).dataobj)
            array = array.reshape(array.shape[:2] if array.size == np.prod(array.shape[:2]) else array.shape).swapaxes(
                0, 1
            )
        else:
            raise ImageError(path, found=f"unknown format '{path.suffix}'", expected="PNG, TIFF or NIfTI")
    except ImageError:
        raise
    except Exception as cause:  # decoders raise what they like on damaged input
        found = f"an annotation that cannot be read ({type(cause).__name__}: {cause})"
        raise ImageError(path, found=found, hint="export it again") from cause
    if array.ndim != 2:
        raise ImageError(
            path, found=f"shape {array.shape}", expected="one plane of labels", hint="export indices, not colours"
        )
    if not np.isfinite(array).all() or (array != np.round(array)).any():
        raise ImageError(path, found=f"labels of type {array.dtype} that are not whole", expected="whole numbers")
    return array.astype(np.int32)


def _check_size(path: Path, annotation: AnnotationImage, image_shape: tuple[int, int]) -> None:
    """Raise unless the annotation covers the image to within one of its own pixels (levels round either way)."""
    scale = annotation.um_per_px / annotation.image_um_per_px
    covered = tuple(n * scale for n in annotation.labels.shape)
    if any(abs(c - n) > scale + 1e-6 for c, n in zip(covered, image_shape, strict=True)):
        raise ImageError(
            path,
            found=f"{annotation.labels.shape[1]} x {annotation.labels.shape[0]} px of {annotation.um_per_px:g} um",
            expected=f"the image's extent, {image_shape[1]} x {image_shape[0]} px of {annotation.image_um_per_px:g} um",
            hint="declare the annotation's pixel size in the column annotation_um_per_px",
        )
