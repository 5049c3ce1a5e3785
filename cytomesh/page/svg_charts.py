"""Static charts as SVG: for small pages, which plotly's four megabytes of script would weigh down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.page.colours import line_colour
from cytomesh.page.html import Content, Html, join, tag

WIDTH, HEIGHT = 860, 260
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 14, 46
LEGEND_STEP = 150
SOLID, DASHED, DOTTED = None, "6 3", "2 3"


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows, and its unit."""

    title: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart, broken where it has no value.

    Parameters
    ----------
    name : str
        In the legend, which a single line goes without.
    x, y : (n,) float64
    order : int
        Number of its colour.
    dash : str or None
        Lengths of strokes and gaps; None is solid.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    order: int = 0
    dash: str | None = SOLID


def line_chart(lines: Sequence[Line], x: Axis, y: Axis, caption: Content) -> Html:
    """Return lines, zero always in view, with a legend if there are several."""
    places = np.concatenate([line.x for line in lines])
    values = np.concatenate([line.y for line in lines])
    finite = values[np.isfinite(values)]
    low = min(float(finite.min(initial=0.0)), 0.0)
    high = max(float(finite.max(initial=0.0)), low + 1e-6)
    frame = _Frame((float(places.min()), float(places.max())) if places.size else (0.0, 1.0), (low, high))
    marks = []
    for n, line in enumerate(lines):
        pen = {"stroke": line_colour(line.order), "stroke_dasharray": line.dash}
        marks.append(tag("path", d=frame.path(line.x, line.y), class_="line", **pen))
        if len(lines) > 1:
            left, middle = LEFT + 12 + LEGEND_STEP * n, TOP + 10
            marks.append(tag("path", d=f"M{left} {middle}h26", class_="line", **pen))
            marks.append(tag("text", line.name, x=left + 32, y=middle + 4))
    return frame.figure(marks, x, y, caption)


def bar_chart(edges: NDArray[np.float64], heights: NDArray[np.float64], x: Axis, y: Axis, caption: Content) -> Html:
    """Return a histogram: `heights` (n,) between `edges` (n + 1,)."""
    frame = _Frame((float(edges[0]), float(edges[-1])), (0.0, float(heights.max(initial=0.0)) or 1.0))
    bars = [
        tag(
            "rect",
            tag("title", f"{low:g} to {high:g} {x.unit}: {height:.1f} {y.unit}"),
            x=f"{frame.x(low) + 0.5:.1f}",
            y=f"{frame.y(height):.1f}",
            width=f"{frame.x(high) - frame.x(low) - 1:.1f}",
            height=f"{frame.y(0.0) - frame.y(height):.1f}",
            fill=line_colour(0),
        )
        for low, high, height in zip(edges[:-1], edges[1:], heights, strict=True)
    ]
    return frame.figure(bars, x, y, caption)


class _Frame:
    """Axes of one chart: data to drawing coordinates, ticks at round numbers."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._across = across if across[1] > across[0] else (across[0] - 0.5, across[0] + 0.5)
        # room for the legend above the highest point
        self._up = (up[0], up[1] + 0.16 * (up[1] - up[0]))

    def x(self, value: float) -> float:
        low, high = self._across
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def path(self, at: NDArray[np.float64], values: NDArray[np.float64]) -> str:
        parts, is_drawing = [], False
        for x, y in zip(at, values, strict=True):
            if np.isfinite(y):
                parts.append(f"{'L' if is_drawing else 'M'}{self.x(x):.1f} {self.y(y):.1f}")
            is_drawing = bool(np.isfinite(y))
        return "".join(parts)

    def figure(self, marks: Sequence[Html], x: Axis, y: Axis, caption: Content) -> Html:
        grid = []
        for value in ticks(*self._across):
            column = f"{self.x(value):.1f}"
            grid.append(tag("path", d=f"M{column} {HEIGHT - BOTTOM}v5", class_="tick"))
            grid.append(tag("text", f"{value:g}", x=column, y=HEIGHT - BOTTOM + 19, text_anchor="middle"))
        for value in ticks(*self._up):
            row = self.y(value)
            grid.append(tag("path", d=f"M{LEFT} {row:.1f}H{WIDTH - RIGHT}", class_="grid"))
            grid.append(tag("text", f"{value:g}", x=LEFT - 7, y=f"{row + 4:.1f}", text_anchor="end"))
        centre, middle = (WIDTH + LEFT - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2
        turn = f"rotate(-90 14 {middle})"
        drawing = tag(
            "svg",
            join([*grid, *marks]),
            tag("text", str(x), x=centre, y=HEIGHT - 8, text_anchor="middle"),
            tag("text", str(y), x=14, y=middle, text_anchor="middle", transform=turn),
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_label=f"{y} over {x}",
            class_="drawn",
        )
        return tag("figure", drawing, tag("figcaption", caption))


def ticks(low: float, high: float) -> list[float]:
    """Return about six round numbers from low to high."""
    step = round_step((high - low) / 3.5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 10) + 0.0 for n in range(first, last + 1)]


def round_step(most: float) -> float:
    """Return the largest number of the series 1, 2, 5, 10, ... that is at most `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max((step * power for step in (1, 2, 5) if step * power <= most), default=power)
