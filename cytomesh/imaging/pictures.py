"""Pictures inside a page: arrays as data URIs, scale bars, orientation letters."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from cytomesh.imaging.pyramid import Pyramid
from cytomesh.page.html import Html, join, tag
from cytomesh.page.svg_charts import round_step
from cytomesh.study.contours import SectionContours
from cytomesh.study.sections import Section

JPEG_QUALITY = 82
AXIS_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


def data_uri(image: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> str:
    """Return (h, w) or (h, w, 3) uint8 as a JPEG data URI."""
    import imagecodecs

    encoded = imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=quality)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def displayable(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w, c) pixels as (h, w, 3) RGB if there are three channels, else the first channel."""
    return image if image.shape[2] == 3 else image[:, :, 0]


def thumbnail(
    pyramid: Pyramid, box: tuple[int, int, int, int], max_px: int
) -> tuple[NDArray[np.uint8], tuple[float, float, float, float]]:
    """Read a box of an image, reduced by averaging until its longer side is at most `max_px`.

    Parameters
    ----------
    box : (row0, row1, col0, col1)
        Full-resolution pixels.

    Returns
    -------
    image : (h, w) or (h, w, 3) uint8
    place : (x, y, width, height)
        What it covers, in full-resolution pixels from the corner of the first one.
    """
    row0, row1, col0, col1 = box
    wanted = max(row1 - row0, col1 - col0) / max_px
    level = max((i for i, scale in enumerate(pyramid.level_scales) if scale <= max(wanted, 1.0)), default=0)
    scale = pyramid.level_scales[level]
    height, width = pyramid.levels[level].shape
    top, left = int(row0 / scale), int(col0 / scale)
    bottom, right = min(math.ceil(row1 / scale), height), min(math.ceil(col1 / scale), width)
    factor = max(1, math.ceil(wanted / scale))
    h, w = max((bottom - top) // factor, 1), max((right - left) // factor, 1)
    block = pyramid.read(level, top, min(top + h * factor, height), left, min(left + w * factor, width))
    if factor > 1 and block.shape[:2] == (h * factor, w * factor):
        tiles = block.reshape(h, factor, w, factor, block.shape[2])
        block = tiles.mean(axis=(1, 3)).round().astype(np.uint8)
    place = (left * scale, top * scale, w * factor * scale, h * factor * scale)
    return displayable(block), place


def placed_image(pyramid: Pyramid, box: tuple[int, int, int, int], max_px: int, quality: int = JPEG_QUALITY) -> Html:
    """Return a box of an image as part of an SVG in the image's own pixels; see `thumbnail`."""
    pixels, (x, y, width, height) = thumbnail(pyramid, box, max_px)
    # pixel centres are at integers, so the first pixel's corner is at -0.5
    place = {"x": x - 0.5, "y": y - 0.5, "width": width, "height": height}
    return tag("image", href=data_uri(pixels, quality), preserveAspectRatio="none", **place)


def section_drawing(
    section: Section, box: tuple[int, int, int, int], layers: Sequence[Html], size: float, label: str
) -> Html:
    """Return a section as SVG in its own pixels, with a scale bar and the directions at its sides.

    Parameters
    ----------
    box : (row0, row1, col0, col1)
        What is seen of it.
    layers : sequence of Html
        From the lowest.
    size : float
        Height of the scale bar's letters, px.
    """
    row0, row1, col0, col1 = box
    mm = section.um_per_px / 1000
    bar_mm = round_length((col1 - col0) * mm)
    return tag(
        "svg",
        *layers,
        scale_bar(col1 - 1.2 * size, row1 - 1.2 * size, bar_mm / mm, f"{bar_mm:g} mm", size),
        orientation_letters(section.plane.to_world, box, size),
        viewBox=f"{col0 - 0.5:g} {row0 - 0.5:g} {col1 - col0} {row1 - row0}",
        role="img",
        aria_label=label,
    )


def round_length(total: float, share: float = 0.2) -> float:
    """Return a length of the 1-2-5 series near a share of `total`, for scale bars."""
    return round_step(max(total * share, 1e-6))


def scale_bar(x: float, y: float, length_px: float, text: str, size: float) -> Html:
    """Return a scale bar for an SVG: a dark line on a bright one, its length above; (x, y) is its right end."""
    line = {"x1": x - length_px, "y1": y, "x2": x, "y2": y}
    label = {"x": x - length_px / 2, "y": y - 0.6 * size, "text_anchor": "middle", "font_size": size}
    return join(
        [
            tag("line", **line, stroke="#ffffff", stroke_width=0.55 * size),
            tag("line", **line, stroke="#000000", stroke_width=0.25 * size),
            outlined(text, **label),
        ]
    )


def outlined(text: str, **attributes: Any) -> Html:
    """Return SVG text that can be read on any ground."""
    halo: dict[str, Any] = {
        "fill": "#000000",
        "stroke": "#ffffff",
        "stroke_width": "0.22em",
        "paint_order": "stroke",
        "font_weight": 600,
    }
    return tag("text", text, **halo, **attributes)


def direction_letter(vector: NDArray[np.float64]) -> str:
    """Return the anatomical direction (RAS) that a world vector mostly points to."""
    axis = int(np.argmax(np.abs(vector)))
    return AXIS_LETTERS[axis][0 if vector[axis] > 0 else 1]


def orientation_letters(to_world: NDArray[np.float64], box: tuple[int, int, int, int], size: float) -> Html:
    """Return the anatomical directions (RAS) at the four sides of a box (row0, row1, col0, col1) of a section."""
    row0, row1, col0, col1 = box
    right, down = to_world[:, 0], to_world[:, 1]
    middle_row, middle_col, gap = (row0 + row1) / 2, (col0 + col1) / 2, 0.9 * size
    letters = [
        (direction_letter(-right), col0 + gap, middle_row),
        (direction_letter(right), col1 - gap, middle_row),
        (direction_letter(-down), middle_col, row0 + gap),
        (direction_letter(down), middle_col, row1 - gap),
    ]
    style = {"text_anchor": "middle", "dominant_baseline": "central", "font_size": 1.2 * size}
    return join(outlined(text, x=f"{x:.1f}", y=f"{y:.1f}", **style) for text, x, y in letters)


def ring_path(shape: MultiPolygon, tolerance_px: float) -> str:
    """Return all rings of a region as SVG path data, simplified."""
    lines = []
    for polygon in shapely.get_parts(shape.simplify(tolerance_px)):
        for ring in (polygon.exterior, *polygon.interiors):
            lines.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in np.asarray(ring.coords)[:-1, :2]) + "Z")
    return "".join(lines)


def contour_paths(contours: SectionContours | None, tolerance_px: float) -> Html:
    """Return the pial and white rings of all hemispheres as SVG paths, simplified."""
    return join(
        tag("path", d=ring_path(region, tolerance_px), class_=kind)
        for rings in (contours or {}).values()
        for kind, region in (("white", rings.white), ("pial", rings.pial))
    )


def line_path(segments: NDArray[np.float64], tolerance_px: float) -> str:
    """Return (m, 2, 2) line segments as SVG path data: those that meet as one line, simplified."""
    lines = shapely.line_merge(shapely.set_precision(shapely.multilinestrings(segments), 1e-6))
    parts = (shapely.get_coordinates(line) for line in shapely.get_parts(shapely.simplify(lines, tolerance_px)))
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in part) for part in parts)
