"""Figures for print, SVG by matplotlib: one style, told apart in grey, the same file for the same numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cytomesh.core.extras import optional
from cytomesh.core.files import atomic_path
from cytomesh.page.colours import line_colour

EXTRA = "cytomesh[report]"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STROKES = ("-", "--", "-.", ":")
GREY = "#8c8c8c"
STYLE = {
    "font.size": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "cytomesh",
    "text.parse_math": False,  # names of areas and columns are no formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
}
DPI = 300
"""Of what is drawn as pixels: pictures, and clouds of thousands of dots."""


def print_style() -> AbstractContextManager[None]:
    """Return the context within which figures are made and saved.

    Raises
    ------
    PackageError
        If matplotlib is not installed.
    """
    style: AbstractContextManager[None] = optional("matplotlib", EXTRA).rc_context(STYLE)
    return style


def new_figure(width_inch: float, height_inch: float) -> Any:
    """Return an empty matplotlib figure that finds room for its own labels."""
    kind = optional("matplotlib.figure", EXTRA)
    return kind.Figure(figsize=(width_inch, height_inch), layout="constrained")


def pen(order: int) -> dict[str, Any]:
    """Return how the line with this number is drawn: colour, stroke and marker, any of which tells it apart."""
    return {
        "color": line_colour(order),
        "marker": MARKERS[order % len(MARKERS)],
        "linestyle": STROKES[order % len(STROKES)],
        "linewidth": 1.2,
        "markersize": 4,
        "elinewidth": 0.8,
    }


def save_figure(path: Path, figure: Any) -> None:
    """Write a figure as SVG, whole or not at all; words stay words, and no date is in it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None}, dpi=DPI)
