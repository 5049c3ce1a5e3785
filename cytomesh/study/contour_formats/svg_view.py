"""Where an SVG's user units lie: lengths, the views of svg elements, and whether the page is the section's image.

https://www.w3.org/TR/SVG11/coords.html: sections 7.7 (viewBox), 7.8 (preserveAspectRatio) and 7.10 (units).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cytomesh.study.contour_formats.svg_path import NUMBER, numbers

# User units (CSS pixels) of each unit.
UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6}
ALIGN = {"min": 0.0, "mid": 0.5, "max": 1.0}
# Programs round lengths in millimetres; a pyramid level or another unit is far off.
TOLERANCE = 0.005


def length(text: str) -> float:
    """Return a length in user units.

    Raises
    ------
    ValueError
        If it is none, or relative (%, em).
    """
    match = re.fullmatch(rf"\s*({NUMBER.pattern})\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].lower() not in UNITS:
        raise ValueError(f"length '{text[:20]}'")
    return float(match[1]) * UNITS[match[2].lower()]


def nested_view(attributes: Mapping[str, str]) -> NDArray[np.float64]:
    """Return the (3, 3) matrix of an svg element within another one: from its user units to those around it.

    Raises
    ------
    ValueError
        If a length, the viewBox or preserveAspectRatio cannot be read, or the viewBox comes without width and height.
    """
    matrix = np.eye(3)
    matrix[:2, 2] = [length(attributes.get(name, "0")) for name in ("x", "y")]
    box = view_box(attributes)
    if box is None:
        return matrix
    if "width" not in attributes or "height" not in attributes:
        raise ValueError("an svg element with a viewBox, but without width and height")
    size = np.array([length(attributes[name]) for name in ("width", "height")])
    scale = size / box[2:]
    align = np.zeros(2)
    text = attributes.get("preserveAspectRatio", "xMidYMid").strip().lower()
    if text != "none":
        match = re.fullmatch(r"x(min|mid|max)y(min|mid|max)(?:\s+(meet|slice))?", text)
        if match is None:
            raise ValueError(f"preserveAspectRatio '{text[:30]}'")
        scale = np.full(2, scale.max() if match[3] == "slice" else scale.min())
        align = np.array([ALIGN[match[1]], ALIGN[match[2]]])
    return matrix @ np.array(
        [
            [scale[0], 0, align[0] * (size[0] - scale[0] * box[2]) - scale[0] * box[0]],
            [0, scale[1], align[1] * (size[1] - scale[1] * box[3]) - scale[1] * box[1]],
            [0, 0, 1],
        ]
    )


def view_box(attributes: Mapping[str, str]) -> NDArray[np.float64] | None:
    """Return the viewBox (left, top, width, height), or None if there is none.

    Raises
    ------
    ValueError
        If it is not four numbers, or its sides are not positive.
    """
    if "viewBox" not in attributes:
        return None
    box = np.array(numbers(attributes["viewBox"]))
    if box.shape != (4,) or (box[2:] <= 0).any():
        raise ValueError(f"viewBox '{attributes['viewBox'][:40]}'")
    return box


def page(attributes: Mapping[str, str]) -> NDArray[np.float64] | None:
    """Return the outermost svg's page (left, top, width, height) in its user units; None if the file does not say."""
    box = view_box(attributes)
    if box is not None:
        return box
    try:
        return np.array([0.0, 0.0, length(attributes["width"]), length(attributes["height"])])
    except (KeyError, ValueError):
        return None


def is_image(box: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether a box (left, top, width, height) in pixels is that of an image of (rows, columns)."""
    goal = np.array([0.0, 0.0, shape[1], shape[0]])
    return bool((np.abs(box - goal) <= 1 + TOLERANCE * goal[[2, 3, 2, 3]]).all())
