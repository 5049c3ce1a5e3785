"""Label masks: a label image to rings at sub-pixel places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cytomesh.core.errors import ContourError, ImageError
from cytomesh.study.annotation import read_label_image
from cytomesh.study.contour_formats.features import CORNER, MAX_POINTS, ContourFeature, Ring, too_many_points
from cytomesh.study.contour_formats.nesting import even_odd
from cytomesh.study.contour_formats.reader import ContourReader, Drawing
from cytomesh.study.manifest import ContourLabels

# Straight edges stay where they are; a curve of radius r moves inwards by about sigma^2 / (2 r); what is one pixel
# wide just stays (its centre keeps 0.52 of its value).
SIGMA_PX = 0.7
MARGIN_PX = 4
LEVEL = 0.5
# Points closer to the line between their neighbours carry nothing.
SIMPLIFY_PX = 0.02


class MaskReader(ContourReader):
    """Label images of a section."""

    suffixes = (".png", ".tif", ".tiff", ".nii", ".nii.gz")
    is_labelled = True

    def read(self, drawing: Drawing) -> list[ContourFeature]:
        """Return the outlines of the labels."""
        section = drawing.section
        scale = (section.contour_settings.mask_um_per_px or section.um_per_px) / section.um_per_px
        return read_mask(drawing.path, scale, drawing.labels, drawing.image_shape)


def read_mask(
    path: Path, scale: float, labels: ContourLabels, image_shape: tuple[int, int] | None
) -> list[ContourFeature]:
    """Read a PNG, TIFF or NIfTI label image: one feature per class, the boundary of the union of its labels.

    Parameters
    ----------
    scale : float
        Size of a mask pixel in pixels of the section's image; the corners of both coincide.
    labels : dict of class name to label values
        What the values mean; "ignore" takes those that mean nothing. 0 is background unless named.
    image_shape : (int, int) or None
        Rows and columns of the section's image, which the mask has to cover to within one of its own pixels.

    Raises
    ------
    ContourError
        If the image cannot be read, is not of the section's size, or has values that no class takes.
    """
    try:
        image = read_label_image(path)
    except ImageError as cause:
        raise ContourError(path, found=cause.found, expected=cause.expected, hint=cause.hint) from cause
    check_values(path, image, labels)
    covered = tuple(n * scale for n in image.shape)
    if image_shape and any(abs(c - n) > scale + 1e-6 for c, n in zip(covered, image_shape, strict=True)):
        raise ContourError(
            path,
            found=f"{image.shape[1]} x {image.shape[0]} px, {covered[1]:g} x {covered[0]:g} px of the section's image",
            expected=f"the image's extent, {image_shape[1]} x {image_shape[0]} px",
            hint="declare the masks' pixel size as contours.mask_um_per_px in the manifest",
        )
    return [
        ContourFeature(f"labels {', '.join(map(str, values))} ('{name}')", (name,), polygons)
        for name, values in labels.items()
        if name != "ignore"
        for polygons in [mask_polygons(path, np.isin(image, values), scale)]
        if polygons
    ]


def check_values(path: Path, image: NDArray[np.int32], labels: ContourLabels) -> None:
    """Raise unless every value but 0 belongs to a class."""
    taken = {0, *(value for values in labels.values() for value in values)}
    unknown = sorted(set(np.unique(image).tolist()) - taken)
    if unknown:
        raise ContourError(
            path,
            found=f"labels {unknown[:10]} that no class takes",
            expected="every value but 0 in contours.labels of the manifest",
            hint="such as contours: {labels: {pial_L: [1, 2], white_L: [2]}} for 1 grey and 2 white matter; "
            "ignore: [3] takes what means nothing",
        )


def mask_polygons(path: Path, mask: NDArray[np.bool_], scale: float) -> tuple[tuple[Ring, ...], ...]:
    """Return the polygons of a mask, in image pixels from the corner."""
    rings = [(ring + CORNER) * scale for ring in mask_rings(mask)]
    count = sum(map(len, rings))
    if count > MAX_POINTS:
        raise too_many_points(path, count)
    return even_odd(rings, path)


def mask_rings(mask: NDArray[np.bool_]) -> Sequence[Ring]:
    """Return the closed rings (n, 2) (column, row) of a mask in its own pixels, centres at integers.

    The 0.5 level of the mask after a Gaussian of `SIGMA_PX`: steps of the pixel grid become slopes, straight edges do
    not move, and of two nested masks the rings are nested, too.
    """
    from skimage.measure import approximate_polygon, find_contours

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    smooth = gaussian_filter(np.pad(part, MARGIN_PX).astype(np.float32), SIGMA_PX)
    # exactly 0.5 at a vertex makes rings touch themselves
    smooth[smooth == LEVEL] = np.nextafter(np.float32(LEVEL), np.float32(1))
    offset = np.array([columns[0], rows[0]]) - MARGIN_PX
    rings = [approximate_polygon(ring[:, ::-1] + offset, SIMPLIFY_PX) for ring in find_contours(smooth, LEVEL)]
    return [ring for ring in rings if len(ring) >= 4]
