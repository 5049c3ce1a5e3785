"""Charts as plotly figures: plain dictionaries, drawn in the page when they come into view."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.report.html import Content, Html, embed_json, tag

# Okabe and Ito's palette: told apart with every common form of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5F5F5F")
DASHES = ("solid", "dash", "dot", "dashdot")

# viridis and cividis (matplotlib), ten even steps
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
CIVIDIS = ("#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838")


def chart(
    traces: Sequence[dict[str, Any]],
    layout: dict[str, Any],
    *,
    caption: Content,
    height_px: int = 320,
    width_px: int | None = None,
) -> Html:
    """Return a figure: data block, place to draw (at most `width_px` wide) and caption."""
    figure = {"data": list(traces), "layout": layout}
    limit = "" if width_px is None else f";max-width:{width_px}px"
    place = tag("div", class_="plot", style=f"height:{height_px}px{limit}")
    return tag("figure", place, embed_json(figure, class_="figure"), tag("figcaption", caption), class_="chart")


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis with its title (name and unit)."""
    return {"title": {"text": title}, "automargin": True, **more}


def curve(name: str, x: Sequence[float], y: Sequence[float], order: int, **more: Any) -> dict[str, Any]:
    """Return one line; colour and dash by its order, so that it is found again in every chart."""
    line = {"color": PALETTE[order % len(PALETTE)], "dash": DASHES[order // len(PALETTE) % len(DASHES)], "width": 2}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": numbers(x),
        "y": numbers(y),
        "line": line,
        **more,
    }


def histogram(
    name: str, values: NDArray[np.float64], edges: NDArray[np.float64], order: int, unit: str
) -> dict[str, Any]:
    """Return a histogram as a stepped line of shares (%), counted here so that the page stays small."""
    counts, _ = np.histogram(values, edges)
    share = 100.0 * counts / max(1, values.size)
    line = {
        "color": PALETTE[order % len(PALETTE)],
        "dash": DASHES[order // len(PALETTE) % len(DASHES)],
        "width": 2,
        "shape": "hvh",
    }
    centres = (edges[:-1] + edges[1:]) / 2
    hover = f"%{{x:.3g}} {unit}: %{{y:.1f}} % of nodes"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": numbers(centres),
        "y": numbers(share),
        "line": line,
        "hovertemplate": hover,
    }


def label(name: str) -> str:
    """Return a user's name as plotly text, which knows some markup: entities keep it as it is written."""
    return html.escape(name, quote=False).replace("%{", "%&#123;")


def colour_scale(colours: Sequence[str]) -> list[list[Any]]:
    """Return colours as plotly's evenly spaced colour scale."""
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def numbers(values: Sequence[float] | NDArray[Any], digits: int = 5) -> list[float | None]:
    """Return values rounded to significant digits; what is not finite becomes null."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in map(float, values)]
