"""Whether a section's pial rings lie on the edge of the tissue in its image, or would scaled, flipped or moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.signal import fftconvolve

from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.imaging.ring_offset import RingOffset, measure_offset, near_px
from cytomesh.imaging.thumbnail import TissueThumbnail, share_on
from cytomesh.study.contours import SectionContours
from cytomesh.study.sections import Section

# A ring lies on an edge that is nearer than this share of the image's longer side.
TOLERANCE = 0.02
# Rings of which this share lies on edges are as they should be: sulci and the medial wall are not edges everywhere.
GOOD = 0.4
# Others are at fault if they would lie on edges at least so much, and so much more, elsewhere.
CLEAR, GAIN = 0.75, 0.35
SCALES = (0.25, 0.5, 2.0, 4.0)
# Rings of which more than this share runs along the border of the image leave too little to be compared.
MOST_CUT = 0.75


@dataclass(frozen=True, slots=True)
class _Fit:
    what: str
    share: float
    hint: str


def look_at_rings(
    section: Section, thumbnail: TissueThumbnail, contours: SectionContours
) -> tuple[list[CytomeshError], RingOffset | None]:
    """Compare pial rings with the tissue in a thumbnail; say if they fit clearly better turned, scaled or moved.

    Smaller offsets are measured, for the sections of a brain to be compared; None where nothing can be said. Stretches
    along the border of the image are left out: tissue was cut there, and has no edge to be seen.

    Parameters
    ----------
    section : Section
        With an image.
    thumbnail : TissueThumbnail
        Of it.
    contours : SectionContours
        In the image's pixels.
    """
    rings = [part.exterior for side in contours.values() for part in side.pial.geoms]
    if section.image is None or not rings:
        return [], None
    mask, scale, offset = thumbnail.mask, thumbnail.scale, thumbnail.offset
    points = thumbnail.places(np.concatenate([_points(ring, float(scale.max())) for ring in rings]))
    along_border = np.abs(_inside_by(points, mask.shape)) <= _tolerance(mask.shape)
    if along_border.mean() > MOST_CUT:
        return [], None
    points = points[~along_border]
    apart = _to_edges(mask)
    near = (apart <= _tolerance(mask.shape)).astype(np.float32)
    share = share_on(near, points)
    corner = -(offset + 0.5) / scale  # where the full image begins, in pixels of the thumbnail
    nearer = (apart <= near_px(mask.shape)).astype(np.float32)
    measured = measure_offset(nearer, points, partial(share_on, nearer), corner, scale)
    if share >= GOOD:
        return [], measured
    best = max(_others(near, points, corner, scale), key=lambda fit: fit.share)
    if best.share < CLEAR or best.share < share + GAIN:
        return [], measured
    found = f"{share:.0%} of the pial rings on the edge of the tissue, but {best.share:.0%} of them {best.what}"
    problem = ImageError(section.image, section.name, found=found, expected="rings along the tissue", hint=best.hint)
    return [problem], measured


def _others(
    near: NDArray[np.float32], points: NDArray[np.float64], corner: NDArray[np.float64], scale: NDArray[np.float64]
) -> Iterator[_Fit]:
    """Yield how rings would fit scaled, flipped and moved."""
    height, width = near.shape
    for factor in SCALES:
        there = (points - corner) * factor + corner
        hint = "contours were drawn on a downsampled image or another pyramid level: export them at full resolution"
        yield _Fit(f"{factor:g} times as large", share_on(near, there), hint)
    size = np.array([width - 1, height - 1])
    for what, signs in (("mirrored", (-1, 1)), ("upside down", (1, -1)), ("turned by 180 degrees", (-1, -1))):
        there = np.where(np.array(signs) < 0, size - points, points)
        yield _Fit(what, share_on(near, there), "turn the contours or the image: one of them was flipped")
    shift = _best_shift(near, points)
    if np.abs(shift).max() > 3 * _tolerance(near.shape):
        dx, dy = shift * scale
        hint = "contours belong to another crop or another section"
        yield _Fit(f"moved by {dx:.0f} columns and {dy:.0f} rows", share_on(near, points + shift), hint)


def _points(ring: shapely.LinearRing, step: float) -> NDArray[np.float64]:
    """Return points along a ring, one per pixel of the thumbnail."""
    n = max(8, int(ring.length / step))
    return shapely.get_coordinates(shapely.line_interpolate_point(ring, np.linspace(0, 1, n, False), normalized=True))


def _inside_by(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return how far (n, 2) columns and rows lie from the border of an image; below 0 outside."""
    size = np.array(shape[::-1])
    return np.asarray(np.minimum(points + 0.5, size - 0.5 - points).min(axis=1))


def _tolerance(shape: tuple[int, ...]) -> float:
    return max(2.0, TOLERANCE * max(shape))


def _to_edges(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance to the nearest edge of the tissue, pixels, the image's border not being one."""
    edge = mask & ~binary_erosion(mask, border_value=1)
    return np.asarray(distance_transform_edt(~edge))


def _best_shift(near: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the (columns, rows) by which most of the points come to lie near an edge."""
    at = np.rint(points).astype(np.int64)
    low = at.min(axis=0)
    drawn = np.zeros(tuple((at.max(axis=0) - low + 1)[::-1]), np.float32)
    np.add.at(drawn, tuple((at - low).T[::-1]), 1)
    match = fftconvolve(near, drawn[::-1, ::-1])
    row, column = np.unravel_index(int(match.argmax()), match.shape)
    return np.array([column - drawn.shape[1] + 1, row - drawn.shape[0] + 1]) - low
