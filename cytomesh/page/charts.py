"""Charts as plotly figures: plain dictionaries, drawn in the page when they come into view."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.extras import optional
from cytomesh.page.colours import LINES, line_colour
from cytomesh.page.document import asset
from cytomesh.page.html import Content, Html, embed_json, tag

Values = Sequence[float] | NDArray[Any]
LINE_LETTERS = 40
"""Of an axis title: about what the height of a chart, or half of a page, has room for."""
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
PATTERNS = ("", "/", "x", ".")


def chart(
    traces: Sequence[dict[str, Any]],
    x: dict[str, Any],
    y: dict[str, Any],
    *,
    caption: Content,
    height_px: int = 320,
    width_px: int | None = None,
    **layout: Any,
) -> Html:
    """Return a figure with its axes and legend: data block, place to draw (at most `width_px` wide) and caption."""
    figure = {"data": list(traces), "layout": {"xaxis": x, "yaxis": y, "showlegend": True, **layout}}
    limit = "" if width_px is None else f";max-width:{width_px}px"
    # a chart that is about square stays so where the page is narrow
    height = f"{height_px}px" if width_px is None else f"min({height_px}px, 100vw + 6rem)"
    place = tag("div", class_="plot", style=f"height:{height}{limit}")
    return tag("figure", place, embed_json(figure, class_="figure"), tag("figcaption", caption), class_="chart")


def chart_scripts() -> list[str]:
    """Return what a page with such charts, with selectors or with sortable tables needs: plotly.js and its own."""
    plotly = optional("plotly.offline", "cytomesh[report]")
    return [plotly.get_plotlyjs(), asset("cytomesh.page", "page.js")]


def axis(title: str, unit: str = "", /, **more: Any) -> dict[str, Any]:
    """Return an axis with its title and unit, in lines that fit beside a chart."""
    text = f"{title} ({unit})" if unit else title
    lines = textwrap.wrap(text, LINE_LETTERS, break_long_words=False, break_on_hyphens=False)
    # with a stand-off the title keeps clear of long tick labels
    return {"title": {"text": "<br>".join(lines), "standoff": 8}, "automargin": True, **more}


def category_axis(title: str, names: Sequence[str]) -> dict[str, Any]:
    """Return an axis on which category i stands at i; see `beside`."""
    return axis(title, tickvals=list(range(len(names))), ticktext=list(names), range=[-0.5, len(names) - 0.5])


def beside(places: Iterable[int], order: int, of: int) -> list[float]:
    """Return where the `order`-th of so many series stands in each category, so that none hides another."""
    return [place + 0.6 * ((order + 0.5) / of - 0.5) for place in places]


def curve(name: str, x: Values, y: Values, order: int, **more: Any) -> dict[str, Any]:
    """Return one line; colour and dash by its order, so that it is found again in every chart."""
    line = {"color": line_colour(order), "dash": DASHES[order // len(LINES) % len(DASHES)], "width": 2}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": numbers(x),
        "y": numbers(y),
        "line": line,
        **more,
    }


def dot_marker(order: int) -> dict[str, Any]:
    """Return colour and symbol of the series with this number: no two of 35 have both in common."""
    return {"color": line_colour(order), "symbol": SYMBOLS[order % len(SYMBOLS)]}


def bar_marker(order: int) -> dict[str, Any]:
    """Return colour and pattern of the bars with this number: where colours come again, hatching tells them apart."""
    return {"color": line_colour(order), "pattern": {"shape": PATTERNS[order // len(LINES) % len(PATTERNS)]}}


def dots(name: str, x: Values, y: Values, sd: Values | None, marker: dict[str, Any]) -> dict[str, Any]:
    """Return one series of dots, with bars of one SD if there are any."""
    bars = {} if sd is None else {"error_y": {"type": "data", "array": numbers(sd), "thickness": 1.5}}
    series = {"type": "scatter", "mode": "markers", "name": label(name), "x": numbers(x), "y": numbers(y)}
    hover = f"{label(name)}: %{{y:.3f}}<extra></extra>"
    return {**series, **bars, "marker": {"size": 10, **marker}, "hovertemplate": hover}


def histogram(
    name: str, values: NDArray[np.float64], edges: NDArray[np.float64], order: int, unit: str
) -> dict[str, Any]:
    """Return a histogram as a stepped line of shares (%), counted here so that the page stays small."""
    counts, _ = np.histogram(values, edges)
    share = 100.0 * counts / max(1, values.size)
    hover = f"%{{x:.3g}} {unit}: %{{y:.1f}} % of nodes"
    steps = curve(name, (edges[:-1] + edges[1:]) / 2, share, order, hovertemplate=hover)
    return steps | {"line": steps["line"] | {"shape": "hvh"}}


def label(name: str) -> str:
    """Return a user's name as plotly text, which knows some markup: entities keep it as it is written."""
    return html.escape(name, quote=False).replace("%{", "%&#123;")


def colour_scale(colours: Sequence[str]) -> list[list[Any]]:
    """Return colours as plotly's evenly spaced colour scale."""
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def colour_bar(title: str) -> dict[str, Any]:
    """Return a colour bar with its title, above the chart: beside it, it would take a narrow page's width."""
    return {"title": {"text": title, "side": "top"}, "orientation": "h", "y": 1.0, "yanchor": "bottom", "thickness": 12}


def numbers(values: Values, digits: int = 5) -> list[float | None]:
    """Return values rounded to significant digits; what is not finite becomes null."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in map(float, values)]
