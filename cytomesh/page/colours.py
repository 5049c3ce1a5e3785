"""Colours of every page, once for charts, drawings, label tables and the style sheet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Okabe and Ito's palette: told apart with every common form of colour vision.
OKABE_ITO = {
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "yellow": "#f0e442",
}
# Lines go without its yellow, which is hardly seen on white.
LINES = (*(colour for name, colour in OKABE_ITO.items() if name != "yellow"), "#5f5f5f")

# viridis and cividis (matplotlib), ten even steps
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")


def line_colour(order: int) -> str:
    """Return the colour of the line, or of whatever it stands for, with this number."""
    return LINES[order % len(LINES)]


def css_colour(rgba: NDArray[np.float64]) -> str:
    """Return a colour of a label table as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * float(value)):02x}" for value in np.clip(rgba[:3], 0, 1))


def table_colours(*colours: str) -> NDArray[np.float64]:
    """Return `#rrggbb` colours as a label table has them: (n, 4) RGBA in 0..1."""
    return np.array([[*bytes.fromhex(colour[1:]), 255] for colour in colours]) / 255


def css_variables() -> str:
    """Return the palette as variables that a style sheet names: `var(--blue)`."""
    return f":root {{ {' '.join(f'--{name}: {colour};' for name, colour in OKABE_ITO.items())} }}\n"
