"""Offsets between pial rings and the edge of the tissue that all sections of a brain share.

One section is measured to a pixel of its thumbnail, and may be torn or faint; the median over sections is far more
reliable than what one section alone may be accused of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from cytomesh.core.errors import CytomeshError, ImageError, StudyError
from cytomesh.study.sections import Section

# How near a ring lies on an edge, and how far it is looked for: shares of the thumbnail's longer side.
NEAR, NEAR_PX = 0.004, 2.0
WINDOW = 0.08
SCALES = np.round(np.arange(0.7, 1.405, 0.01), 2)
# Offsets below these are of drawing. Above, they are at fault if so much more of the rings lies on edges without them,
# and if the median section is off by about as much.
LEAST_SHIFT_PX, LEAST_SCALE = 2.5, 0.02
GAIN = 0.25
SPREAD, SPREAD_PX, SPREAD_SCALE = 0.25, 1.0, 0.01
FEWEST = 3
# Where rings lie on edges to this share, usually, single sections are at fault that do so only if moved.
USUALLY = 0.6


@dataclass(frozen=True, slots=True)
class RingOffset:
    """How rings lie on the edge of the tissue in one section.

    Parameters
    ----------
    share : float
        Of the rings' points, those that lie on an edge.
    shift : (2,) float64
        Columns and rows of the full-resolution image by which the rings would have to move.
    shift_px : float
        Its length in pixels of the thumbnail.
    shifted_share : float
        Share on an edge then.
    scale, scaled_share : float
        The same for rings as large by this factor, about the corner of the image.
    """

    share: float
    shift: NDArray[np.float64]
    shift_px: float
    shifted_share: float
    scale: float
    scaled_share: float


def near_px(shape: tuple[int, ...]) -> float:
    """Return how near an edge has to be in a thumbnail, pixels."""
    return max(NEAR_PX, NEAR * max(shape))


def measure_offset(
    near: NDArray[np.float32],
    points: NDArray[np.float64],
    share: Callable[[NDArray[np.float64]], float],
    corner: NDArray[np.float64],
    px: NDArray[np.float64],
) -> RingOffset:
    """Find the shift, and the scale, at which most points come to lie on edges.

    Parameters
    ----------
    near : (h, w) float32
        1 where an edge is as near as `near_px`.
    points : (n, 2) float64
        Columns and rows of the thumbnail.
    share : callable
        Share of points on edges.
    corner : (2,) float64
        Where the full-resolution image begins in the thumbnail.
    px : (2,) float64
        Size of a thumbnail's pixel, in pixels of the full-resolution image: columns, rows.
    """
    shift = _best_shift(near, points)
    shares = [share((points - corner) * scale + corner) for scale in SCALES]
    k = int(np.argmax(shares))
    length = float(np.linalg.norm(shift))
    return RingOffset(share(points), shift * px, length, share(points + shift), float(SCALES[k]), shares[k])


def check_offsets(
    table: Path, sections: Sequence[Section], offsets: Sequence[RingOffset | None]
) -> list[CytomeshError]:
    """Find what all rings of a brain are off by; where that is nothing, single sections that are moved.

    Parameters
    ----------
    table : Path
        The section table.
    offsets : sequence of RingOffset or None
        One per section; None where nothing could be measured.
    """
    measured = [(section, offset) for section, offset in zip(sections, offsets, strict=True) if offset is not None]
    if len(measured) < FEWEST:
        return []
    found = [offset for _, offset in measured]
    share, shifted, scaled = (
        float(np.median([getattr(offset, name) for offset in found]))
        for name in ("share", "shifted_share", "scaled_share")
    )
    is_moved, is_scaled = _is_common_shift(found), _is_common_scale(found)
    text = f"{share:.0%} of the pial rings on the edge of the tissue (median of {len(found)} sections)"
    expected = "rings along the tissue"
    if is_scaled and scaled > share + GAIN and not (is_moved and shifted > scaled):
        scale = float(np.median([offset.scale for offset in found]))
        hint = f"contours were drawn on images of another pixel size: multiply their coordinates by {scale:g}"
        text += f", but {scaled:.0%} if all were {scale:g} times as large"
        return [StudyError(table, "contours", found=text, expected=expected, hint=hint)]
    if is_moved and shifted > share + GAIN:
        columns, rows = np.median([offset.shift for offset in found], axis=0)
        hint = "contours were drawn on another crop: move them, or crop the images the same way"
        text += f", but {shifted:.0%} if all were moved by {columns:.0f} columns and {rows:.0f} rows"
        return [StudyError(table, "contours", found=text, expected=expected, hint=hint)]
    if share < USUALLY:
        return []
    return [
        _moved(section, offset, share)
        for section, offset in measured
        if offset.share < share / 2 and offset.shifted_share > 0.85 * share and offset.shift_px > LEAST_SHIFT_PX
    ]


def _moved(section: Section, offset: RingOffset, usual: float) -> ImageError:
    columns, rows = offset.shift
    found = (
        f"{offset.share:.0%} of the pial rings on the edge of the tissue, but {offset.shifted_share:.0%} of them moved"
        f" by {columns:.0f} columns and {rows:.0f} rows"
    )
    hint = "contours belong to another crop of the image"
    expected = f"about {usual:.0%}, as in other sections"
    return ImageError(section.image or "", section.name, found=found, expected=expected, hint=hint)


def _is_common_shift(offsets: Sequence[RingOffset]) -> bool:
    shifts = np.array([offset.shift for offset in offsets])
    common = np.median(shifts, axis=0)
    length = float(np.median([offset.shift_px for offset in offsets]))
    if length < LEAST_SHIFT_PX:
        return False
    apart = float(np.median(np.linalg.norm(shifts - common, axis=1)))
    return apart <= max(SPREAD, SPREAD_PX / length) * float(np.linalg.norm(common))


def _is_common_scale(offsets: Sequence[RingOffset]) -> bool:
    scales = np.array([offset.scale for offset in offsets])
    common = float(np.median(scales))
    return abs(common - 1) >= LEAST_SCALE and float(np.median(np.abs(scales - common))) <= SPREAD_SCALE


def _best_shift(near: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (columns, rows), within the window, by which most points come to lie on edges."""
    at = np.rint(points).astype(np.int64)
    low = at.min(axis=0)
    drawn = np.zeros(tuple((at.max(axis=0) - low + 1)[::-1]), np.float32)
    np.add.at(drawn, tuple((at - low).T[::-1]), 1)
    match = fftconvolve(near, drawn[::-1, ::-1])
    column, row = low + drawn.shape[::-1] - 1  # where nothing is moved
    reach = int(np.ceil(WINDOW * max(near.shape)))
    left, top = max(0, column - reach), max(0, row - reach)
    window = match[top : row + reach + 1, left : column + reach + 1]
    if not window.size:
        return np.zeros(2)
    # of shifts that are as good, the one in their middle
    rows, columns = np.nonzero(window > window.max() - 0.5)
    shifts = np.column_stack([columns + left - column, rows + top - row]).astype(np.float64)
    return np.asarray(shifts[np.linalg.norm(shifts - shifts.mean(axis=0), axis=1).argmin()])
