"""Pixel sizes as images and sidecars state them: unit names in micrometres, and pixels that are square."""

from __future__ import annotations

import math
import unicodedata
from os import PathLike

from cytomesh.core.errors import ImageError

# Pixel sizes of one image that are stated in two places, or along its two axes, may differ by rounding.
PIXEL_SIZE_TOLERANCE = 0.02
UNITS_UM = {
    "angstrom": 1e-4, "å": 1e-4, "nanometer": 1e-3, "nm": 1e-3, "micrometer": 1.0, "micron": 1.0, "um": 1.0, "μm": 1.0,
    "millimeter": 1e3, "mm": 1e3, "centimeter": 1e4, "cm": 1e4, "meter": 1e6, "m": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip


def micrometres(unit: object) -> float | None:
    """Return a unit of length in micrometres; None if it is none.

    Symbols and names, British and American, singular and plural, in any case; the micro sign U+00B5 and the Greek
    letter U+03BC are one character after compatibility normalisation (NFKC).
    """
    name = unicodedata.normalize("NFKC", str(unit)).strip().lower().replace("metre", "meter")
    return UNITS_UM.get(name, UNITS_UM.get(name.removesuffix("s")))


def square_um(path: str | PathLike[str], column_um: float, row_um: float) -> float | None:
    """Return the side of square pixels, um; None if an image states nothing that can be a size.

    Raises
    ------
    ImageError
        If width and height of a pixel differ by more than rounding: patches and distances are those of square pixels.
    """
    if not all(math.isfinite(step) and step > 0 for step in (column_um, row_um)):
        return None
    if abs(row_um / column_um - 1) > PIXEL_SIZE_TOLERANCE:
        found = f"pixels of {column_um:g} x {row_um:g} um (width x height)"
        hint = "resample the image to square pixels, or correct the pixel size that it states"
        raise ImageError(path, found=found, expected="square pixels", hint=hint)
    return column_um
