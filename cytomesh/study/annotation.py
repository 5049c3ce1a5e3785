"""Expert annotations of a section: areas at image positions, from label images (or polygons, see `drawn_areas`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray

from cytomesh.core.errors import AtlasError, ImageError
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import regular_size
from cytomesh.study.drawn_areas import DRAWINGS, read_drawn_areas
from cytomesh.study.image_formats.plain import check_sums, open_plain, refuse_turned
from cytomesh.study.image_formats.png_chunks import grey_scale
from cytomesh.study.image_formats.reader import MAX_DECODED_PX
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.image_formats.tiff import TiffReader
from cytomesh.study.image_formats.tiff_tags import UPRIGHT, refuse_cut_off, refuse_orientation
from cytomesh.study.nifti import Nifti, open_nifti
from cytomesh.study.sections import Section

FORMATS = "PNG, TIFF, NIfTI, or for areas GeoJSON"
# Of TIFF: JPEG in its variants, JPEG 2000, JPEG XR, JPEG XL, WebP. Those that can do without loss mostly do not.
LOSSY = {6, 7, 22610, 33003, 33004, 33005, 33007, 34712, 34892, 34927, 34934, 50001, 50002, 52546}


class Annotation(Protocol):
    """Areas that somebody drew on one section, as an image or as polygons."""

    def sample(self, pixels: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the labels (n,) at (n, 2) (column, row) pixels of the section's image; 0 outside."""

    def labelled(self, limit: int) -> NDArray[np.float64]:
        """Return about `limit` places of labels, evenly drawn (all if there are fewer): (n, 2) pixels of the image."""

    @property
    def extent(self) -> NDArray[np.float64] | None:
        """Columns and rows of the section's image; None if unknown."""


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
        nearest = self._nearest(pixels)
        height, width = self.labels.shape
        inside = ((nearest >= 0) & (nearest < (width, height))).all(axis=1)
        result = np.zeros(len(nearest), np.int32)
        columns, rows = nearest[inside].astype(np.int64).T
        result[inside] = self.labels[rows, columns]
        return result

    def sample_lattice(self, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the labels (h, w) where (h,) rows cross (w,) columns of the section's image; 0 outside."""
        result = np.zeros((len(rows), len(columns)), np.int32)
        at = [self._nearest(values) for values in (rows, columns)]
        inside = [(own >= 0) & (own < n) for own, n in zip(at, self.labels.shape, strict=True)]
        known = [own[mask].astype(np.int64) for own, mask in zip(at, inside, strict=True)]
        result[np.ix_(*inside)] = self.labels[np.ix_(*known)]
        return result

    def labelled(self, limit: int) -> NDArray[np.float64]:
        """Return about `limit` places of labels, evenly drawn (all if there are fewer): (n, 2) pixels of the image."""
        labelled = np.flatnonzero(self.labels)
        chosen = labelled[:: max(1, labelled.size // limit)]
        rows, columns = np.divmod(chosen, self.labels.shape[1])
        # corners of annotation and image coincide, not the centres of their pixels
        return (np.column_stack([columns, rows]) + 0.5) * self.um_per_px / self.image_um_per_px - 0.5

    @property
    def extent(self) -> NDArray[np.float64]:
        """Columns and rows of the section's image."""
        return np.array(self.labels.shape[::-1]) * self.um_per_px / self.image_um_per_px

    def _nearest(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the annotation's pixels next to those of the image; corner-based: both images begin at -0.5."""
        return np.floor((np.asarray(pixels, np.float64) + 0.5) * (self.image_um_per_px / self.um_per_px) + 1e-9)


def read_annotation(section: Section, labels: LabelTable) -> Annotation:
    """Read a section's annotation and check its labels and size.

    A label image (PNG, TIFF, or NIfTI with axes column, row), or areas as polygons (see `read_drawn_areas`).

    Raises
    ------
    ImageError
        If it is missing, unreadable, not of whole numbers, or does not cover the section's image.
    ContourError
        If polygons cannot be used.
    AtlasError
        If it holds labels that are not in the study's table, or shows them in the colours of others.
    """
    path = section.annotation
    if path is None:
        raise ImageError(section.name, found="no annotation", hint="declare it in the section table")
    if path.name.lower().endswith(DRAWINGS):
        return read_drawn_areas(section, labels)
    array = read_label_image(path)
    labels.check(array, str(path))
    _check_palette(path, array, labels)
    # only now: no label of the table is larger, and what was larger in the file has been named
    narrow = array.astype(np.int32)
    annotation = AnnotationImage(narrow, section.annotation_um_per_px or section.um_per_px, section.um_per_px)
    if section.image is not None:
        hint = "declare the annotation's pixel size in the column annotation_um_per_px"
        check_extent(path, annotation, read_header(section.image, section.image_part).shape, hint)
    return annotation


def read_label_image(path: Path) -> NDArray[Any]:
    """Read a label image as (h, w) whole numbers: PNG, TIFF, or NIfTI with axes column, row.

    Returns
    -------
    array : (h, w)
        Of the file's own type: labels of 64 bits are not cut to 32 before they have been compared with a table.

    Raises
    ------
    ImageError
        If it is missing, unreadable, not one plane of whole numbers, or turned or mirrored by its NIfTI header.
    """
    missing, hint = "no such annotation", "correct the path in the section table, or write n/a"
    try:
        regular_size(path)
    except OSError as cause:
        found = missing if isinstance(cause, FileNotFoundError) else f"an annotation that cannot be read ({cause})"
        raise ImageError(path, found=found, hint=hint) from cause
    name = path.name.lower()
    try:
        if name.endswith(".png"):
            array: NDArray[Any] = _read_png(path)
        elif name.endswith(TiffReader.suffixes):
            array = _read_tiff(path)
        elif name.endswith((".nii", ".nii.gz")):
            array = _read_nifti(open_nifti(path, ImageError, missing=missing, hint=hint, needs_place=False))
        else:
            raise ImageError(path, found=f"unknown format '{path.suffix}'", expected=FORMATS)
    except ImageError:
        raise
    except Exception as cause:  # decoders raise what they like on damaged input
        found = f"an annotation that cannot be read ({type(cause).__name__}: {cause})"
        raise ImageError(path, found=found, hint="export it again") from cause
    if array.ndim != 2:
        raise ImageError(
            path, found=f"shape {array.shape}", expected="one plane of labels", hint="export indices, not colours"
        )
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.round(array))).all():
        raise ImageError(path, found=f"labels of type {array.dtype} that are not whole", expected="whole numbers")
    if array.dtype.kind not in "biuf":
        raise ImageError(path, found=f"labels of type {array.dtype}", expected="whole numbers")
    return array


def _read_png(path: Path) -> NDArray[Any]:
    check_sums(path)
    with open_plain(path) as image:
        if image.format != "PNG":
            raise _lossy(path, f"a {image.format} by the name of a PNG")
        refuse_turned(path, image)
        array = np.asarray(image)
    return array // grey_scale(path) if array.dtype == np.uint8 else array


def _lossy(path: Path, found: str) -> ImageError:
    hint = "export it as PNG, or as TIFF with LZW or Deflate"
    return ImageError(path, found=found, expected="labels stored without loss", hint=hint)


def _read_tiff(path: Path) -> NDArray[Any]:
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        n_images = sum(not other.keyframe.is_reduced for other in tiff.series[1:])
        if n_images:
            hint = "export the labels of this section alone"
            raise ImageError(path, found=f"{n_images + 1} images in one file", expected="one", hint=hint)
        if (kind := int(series.keyframe.compression)) in LOSSY:
            raise _lossy(path, f"compression {getattr(series.keyframe.compression, 'name', kind)}")
        refuse_orientation(path, series.keyframe.tags.valueof(274, UPRIGHT))
        if math.prod(series.shape) > MAX_DECODED_PX:
            raise ImageError(path, found=f"shape {series.shape}", expected=f"at most {MAX_DECODED_PX:,} px")
        refuse_cut_off(path, tiff, [series.keyframe])
        return np.asarray(series.asarray())


def _read_nifti(volume: Nifti) -> NDArray[Any]:
    """Return the plane of a label image (rows, columns), rows downwards as in the section's image.

    Programs that keep the order of pixels write no orientation, the identity, or ITK's: both axes point to -x, -y of
    RAS. Any other affine turns or mirrors the image, and programs differ in whether the pixels follow it.
    """
    sides = volume.affine[:2, :2]
    is_upright = np.diag(sides).max() < 0 and abs(sides[0, 1]) + abs(sides[1, 0]) < 1e-3 * np.abs(sides).max()
    if volume.is_oriented and not (is_upright or np.allclose(volume.image.affine, np.eye(4))):
        raise ImageError(
            volume.path,
            found=f"a label image that its header turns or mirrors (affine {sides.tolist()})",
            expected="columns and rows as in the image: no orientation, the identity, or (-, -) as ITK writes",
            hint="export it as PNG or TIFF, or put the rows in the image's order and set the affine to the identity",
        )
    shape = volume.shape
    plane = shape[:2] if len(shape) > 2 and max(shape[2:]) == 1 else shape
    return volume.read().reshape(plane).swapaxes(0, -1)


def _check_palette(path: Path, array: NDArray[Any], labels: LabelTable) -> None:
    """Raise if a PNG's own colours are those of the table, given to other labels: its numbers are an order of colours.

    Palettes of colours that the table does not have say nothing, and are left alone.
    """
    if path.suffix.lower() != ".png":
        return
    with open_plain(path) as image:
        if image.mode != "P":
            return
        palette = np.array(image.getpalette() or [], np.int64).reshape(-1, 3)
    rows = np.rint(255 * labels.colours[:, :3]).astype(np.int64).tolist()
    label_of = {tuple(rgb): index for index, rgb in zip(labels.indices, rows, strict=True) if rows.count(rgb) == 1}
    used = [value for value in np.unique(array).tolist() if value and value < len(palette)]
    shown = {value: label_of.get(tuple(palette[value].tolist())) for value in used}
    wrong = [value for value, label in shown.items() if label != value]
    if used and wrong and None not in shown.values():
        value = wrong[0]
        raise AtlasError(
            path,
            found=f"label {value} in the colour of label {shown[value]} ('{labels.name(shown[value] or 0)}')",
            expected="labels in the colours of the label table, or in colours that it does not have",
            hint="export label values, not an indexed-colour image; or correct the colours of the label table",
        )


def check_extent(path: Path, annotation: AnnotationImage, image_shape: tuple[int, int], hint: str) -> None:
    """Raise unless an annotation covers the image to within one of its own pixels (levels round either way).

    Raises
    ------
    ImageError
        With `hint`, which says where its pixel size is declared.
    """
    scale = annotation.um_per_px / annotation.image_um_per_px
    covered = tuple(n * scale for n in annotation.labels.shape)
    if any(abs(c - n) > scale + 1e-6 for c, n in zip(covered, image_shape, strict=True)):
        raise ImageError(
            path,
            found=f"{annotation.labels.shape[1]} x {annotation.labels.shape[0]} px of {annotation.um_per_px:g} um",
            expected=f"the image's extent, {image_shape[1]} x {image_shape[0]} px of {annotation.image_um_per_px:g} um",
            hint=hint,
        )
