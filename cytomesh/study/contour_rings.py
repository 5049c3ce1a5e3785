"""Checks on single rings and on their size: against the image, and against what a brain can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from cytomesh.core.errors import ContourError, CytomeshError
from cytomesh.study.contour_cuts import CUT
from cytomesh.study.image_formats.registry import header_if_readable
from cytomesh.study.sections import Section

# Rings may touch the border of the image, and a stroke may go over it by a pixel.
BORDER_PX = 1.0
# Under repair, this much more is clipped: a brush that ran over the border, not another image.
CLIP_PX, CLIP_SHARE = 10.0, 0.01
LARGEST_PX = 1e9
# The largest brains, of sperm whales, are not half as wide.
LARGEST_MM = 600.0


def ring_fault(ring: NDArray[np.float64], may_close: bool) -> str:
    """Return what is wrong with a ring (n, 2) of a file, or ""; an open one passes where it may be closed."""
    if not (np.isfinite(ring).all() and (np.abs(ring) < LARGEST_PX).all()):
        return "coordinates that are not finite"
    n = _n_different(ring)
    if n < 3:
        return f"a ring of {n} different point{'s' if n != 1 else ''}"
    if not may_close and not np.array_equal(ring[0], ring[-1]):
        gap = float(np.linalg.norm(ring[0] - ring[-1]))
        return f"an open ring: {gap:.1f} px from its first point {_text(ring[0])} to its last {_text(ring[-1])}"
    return ""


def clipped(section: Section, polygons: Mapping[str, Sequence[Polygon]]) -> dict[str, list[Polygon]]:
    """Clip polygons (counted from the corner) that go a little beyond the image to it; leave others as they are."""
    header = header_if_readable(section.image, section.image_part)
    if header is None:
        return {name: list(parts) for name, parts in polygons.items()}
    height, width = header.shape
    frame = shapely.box(0, 0, width, height)
    margin = max(CLIP_PX, CLIP_SHARE * max(width, height))
    near = shapely.box(-margin, -margin, width + margin, height + margin)
    shapely.prepare([frame, near])

    def clip(part: Polygon) -> list[Polygon]:
        if frame.contains_properly(part) or not near.contains(part):
            return [part]
        pieces = shapely.get_parts(shapely.intersection(part, frame))
        return [piece for piece in pieces if isinstance(piece, Polygon)]

    return {name: [piece for part in parts for piece in clip(part)] for name, parts in polygons.items()}


def check_sizes(section: Section, polygons: Mapping[str, Sequence[Polygon]]) -> list[CytomeshError]:
    """Find rings beyond the image's border (counted from the corner), or larger than any brain."""
    path = section.contours
    # what is a cut may reach beyond the image: the tissue does
    parts = [(name, part) for name, group in polygons.items() if name != CUT for part in group]
    if path is None or not parts:
        return []
    image = section.image
    header = header_if_readable(image, section.image_part)
    if header is None or image is None:
        return _too_large(path, section, polygons)
    height, width = header.shape
    bounds = np.array([part.bounds for _, part in parts])
    limits = np.array([width, height]) + BORDER_PX
    is_out = np.any((bounds[:, :2] < -BORDER_PX) | (bounds[:, 2:] > limits), axis=1)
    if not is_out.any():
        return []
    if _fits_in_micrometres(bounds, np.array([width, height]), section.um_per_px):
        found = f"rings to column {bounds[:, 2].max():.0f}, row {bounds[:, 3].max():.0f}"
        return [_micrometres(path, section, found, f"pixels of the image ({width} x {height} px, {image.name})")]
    problems: list[CytomeshError] = []
    hint = "rings drawn on another image or another pyramid level: export them at full resolution"
    for (name, _), (left, top, right, bottom), out in zip(parts, bounds.tolist(), is_out.tolist(), strict=True):
        if out:
            found = f"ring over columns {left:.1f} to {right:.1f}, rows {top:.1f} to {bottom:.1f} px"
            expected = f"rings within the image ({width} x {height} px, {image.name})"
            problems.append(ContourError(path, f"'{name}'", found=found, expected=expected, hint=hint))
    return problems


def _fits_in_micrometres(bounds: NDArray[np.float64], size: NDArray[np.int64], um_per_px: float) -> bool:
    """Whether rings far beyond the image lie within it, and fill a good part of it, once divided by the pixel size."""
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    is_far_out = bool((high > 2 * size).any())
    is_inside = bool((low / um_per_px >= -BORDER_PX).all() and (high / um_per_px <= size + BORDER_PX).all())
    return is_far_out and is_inside and bool(((high - low) / um_per_px > 0.05 * size).any())


def _too_large(path: Path, section: Section, polygons: Mapping[str, Sequence[Polygon]]) -> list[CytomeshError]:
    bounds = shapely.total_bounds([part for group in polygons.values() for part in group])
    extent = float((bounds[2:] - bounds[:2]).max()) * section.um_per_px / 1000
    if extent <= LARGEST_MM:
        return []
    return [_micrometres(path, section, f"rings over {extent:,.0f} mm", f"at most {LARGEST_MM:g} mm")]


def _micrometres(path: Path, section: Section, found: str, expected: str) -> ContourError:
    hint = (
        f"the coordinates look like micrometres: export pixels, or divide by um_per_px ({section.um_per_px:g}); "
        "or um_per_px of the section table is wrong"
    )
    return ContourError(path, found=found, expected=expected, hint=hint)


def _n_different(ring: NDArray[np.float64]) -> int:
    """Count different points, up to 3; sorting millions of points would take seconds."""
    if not len(ring):
        return 0
    others = ring[(ring != ring[0]).any(axis=1)]
    if not len(others):
        return 1
    return 3 if (others != others[0]).any() else 2


def _text(point: NDArray[np.float64]) -> str:
    return f"({point[0]:.1f}, {point[1]:.1f})"
