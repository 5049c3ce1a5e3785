"""A section in small: where its image shows tissue, how dark that is, and how light the glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from cytomesh.imaging.pyramid import open_unnormalised
from cytomesh.imaging.tissue import TissueConfig, background, tissue_mask
from cytomesh.study.image_formats.reader import ImageLevel
from cytomesh.study.sections import Section
from cytomesh.study.stain import StainStatistics, stain_statistics

THUMBNAIL_PX = 512
# Images without a coarser level than this are not looked at: thumbnails are not made from whole sections.
MOST_PX = 2**26
# Of the image: where all or nothing seems to be tissue, nothing can be said.
LEAST_TISSUE, MOST_TISSUE = 0.005, 0.95


@dataclass(frozen=True, slots=True)
class TissueThumbnail:
    """What a small version of an image shows.

    Parameters
    ----------
    mask : (h, w) bool
        Where tissue is.
    scale, offset : (2,) float64
        Pixels of the image a pixel of the thumbnail, and where its first one lies; columns, rows.
    stain : StainStatistics or None
        Of glass and tissue, before normalisation; None where the background is no glass.
    """

    mask: NDArray[np.bool_]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    stain: StainStatistics | None

    def places(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, 2) columns and rows of the image as those of the thumbnail."""
        return np.asarray((pixels - self.offset) / self.scale)

    def share(self, pixels: NDArray[np.float64]) -> float:
        """Return the share of (n, 2) columns and rows of the image that lie on tissue."""
        return share_on(self.mask, self.places(pixels))


def small_image(section: Section) -> tuple[ImageLevel, NDArray[np.uint8]] | None:
    """Return a coarse level of a section and its pixels (h, w, c); None if there is none.

    Raises
    ------
    ImageError
        As of `open_image`.
    """
    with open_unnormalised(section) as image:
        if np.prod(image.coarsest_stored.shape, dtype=np.float64) > MOST_PX:
            return None
        return image.read_small(THUMBNAIL_PX)


def tissue_thumbnail(section: Section) -> TissueThumbnail | None:
    """Return where a section shows tissue, in small; None where `small_image` is, or nothing can be said.

    Raises
    ------
    ImageError
        As of `open_image`.
    """
    small = small_image(section)
    return None if small is None else tissue_in(*small)


def tissue_in(level: ImageLevel, pixels: NDArray[np.uint8]) -> TissueThumbnail | None:
    """Return where a small image shows tissue; None without glass, and where all or nothing is tissue."""
    values = pixels.astype(np.float32)
    glass = background(values)
    if glass is None:
        return None
    mask = tissue_mask(values, glass, TissueConfig(opening_px=1))
    if not LEAST_TISSUE < mask.mean() < MOST_TISSUE:
        return None
    # pixels along the edge are partly glass
    stain = stain_statistics(pixels, glass, binary_erosion(mask))
    return TissueThumbnail(mask, np.array(level.scale[::-1]), np.array(level.offset[::-1]), stain)


def share_on(near: NDArray[np.float32] | NDArray[np.bool_], points: NDArray[np.float64]) -> float:
    """Return the mean of an image at (n, 2) columns and rows; 0 outside."""
    at = np.rint(points).astype(np.int64)
    inside = ((at >= 0) & (at < near.shape[::-1])).all(axis=1)
    return float(near[at[inside, 1], at[inside, 0]].sum() / len(points))
