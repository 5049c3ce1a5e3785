"""Figures for print: SVG and PDF by matplotlib, told apart in grey, the same files for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from cytomesh.core.errors import PackageError
from cytomesh.core.extras import optional
from cytomesh.core.files import atomic_path
from cytomesh.core.progress import log
from cytomesh.page.colours import line_colour

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STROKES = ("-", "--", "-.", ":")
GREY = "#8c8c8c"
STYLE = {
    "font.size": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "cytomesh",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # names of areas and columns are no formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
}
UNDATED: Mapping[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}
"""Formats, and what of their metadata would change from day to day, or from version to version."""
DPI = 300
"""Of what is drawn as pixels: pictures, and clouds of thousands of dots."""

P = ParamSpec("P")
Score = Mapping[str, float | None]


def printed(stage: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Have a function draw in the style of print; without matplotlib it is not called, which is said."""

    def of(draw: Callable[P, None]) -> Callable[P, None]:
        @wraps(draw)
        def styled(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                style = optional("matplotlib", "cytomesh[report]").rc_context(STYLE)
            except PackageError as absent:
                log(f"{stage}: no figures: {absent}")
                return
            with style:
                draw(*args, **kwargs)

        return styled

    return of


def figure(width_inch: float, height_inch: float) -> Any:
    """Return an empty matplotlib figure."""
    kind = optional("matplotlib.figure", "cytomesh[report]")
    return kind.Figure(figsize=(width_inch, height_inch), layout="constrained")


def save(folder: Path, name: str, drawn: Any) -> None:
    """Write `folder/name.svg` and `.pdf`."""
    for kind, facts in UNDATED.items():
        with atomic_path(folder / f"{name}.{kind}") as temporary:
            drawn.savefig(temporary, format=kind, metadata=facts, dpi=DPI)


def pen(order: int) -> dict[str, Any]:
    """Return how the n-th of several things is drawn: colour, marker and stroke, any of which tells it apart."""
    return {
        "color": line_colour(order),
        "marker": MARKERS[order % len(MARKERS)],
        "linestyle": STROKES[order % len(STROKES)],
        "linewidth": 1.2,
        "markersize": 4,
        "elinewidth": 0.8,
    }


def line_pen(order: int, n_points: int) -> dict[str, Any]:
    """Return the pen for a curve without bars, with a marker here and there."""
    own = {key: value for key, value in pen(order).items() if key != "elinewidth"}
    return own | {"markevery": (order % 3, max(1, n_points // 6))}


def dots(rows: Sequence[tuple[str, Mapping[str, Score]]], names: Sequence[str], title: str) -> Any:
    """Draw scores as dots with bars, one row per line, names side by side; returns the figure.

    Parameters
    ----------
    rows : sequence of (str, dict of str to score)
        Label, and by name `mean`, `sd`, and `low` and `high` where there is an interval.
    names : sequence of str
        In the order of the legend.
    title : str
        Of the x axis.
    """
    drawn = figure(6.2, 0.9 + 0.32 * len(rows))
    panel = drawn.subplots()
    places = range(len(rows))[::-1]
    for order, name in enumerate(names):
        own = pen(order) | {"linestyle": "none"}
        panel.errorbar([], [], xerr=[], label=name, **own)  # for the legend
        shift = side_by_side(order, len(names))
        for place, (_, scores) in zip(places, rows, strict=True):
            if score := scores.get(name):
                panel.errorbar(score["mean"], place - shift, xerr=_bars(score), **own)
    panel.axvline(0, color=GREY, linewidth=0.6)
    ends = [score["mean"] + way for _, scores in rows for score in scores.values() for way in _reach(score)]  # type: ignore[operator]
    panel.set(xlabel=title, xlim=(max(-1.0, min(0.0, *ends)) - 0.02, max(1.0, *ends) + 0.02))
    panel.set_ylim(-0.6, len(rows) - 0.4)
    panel.set_yticks(list(places), [label for label, _ in rows])
    legend_beside(panel)
    return drawn


def side_by_side(order: int, n: int) -> float:
    """Return how far the n-th of several dots of one row is moved, -0.25 to 0.25 of the distance of rows."""
    return 0.5 * (order / max(1, n - 1) - 0.5)


def legend_beside(panel: Any) -> None:
    """Put the legend to the right of a panel, where it hides nothing."""
    panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _bars(score: Score) -> list[list[float]]:
    """Return how far the bars reach to the left and to the right, as matplotlib takes it."""
    left, right = _reach(score)
    return [[-left], [right]]


def _reach(score: Score) -> tuple[float, float]:
    """Return where the bars end, from the mean: at most 0 and at least 0."""
    mean, low, high = (score.get(key) for key in ("mean", "low", "high"))
    if mean is None or low is None or high is None:
        sd = score["sd"] or 0.0
        return -sd, sd
    return min(0.0, low - mean), max(0.0, high - mean)
