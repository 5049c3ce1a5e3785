"""The figures of an evaluation for print; their numbers are those of `table.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cytomesh.page.print_figures import GREY, new_figure, pen, print_style, save_figure

PANEL_INCH = 3.1

Rows = Sequence[Mapping[str, Any]]


def write_figures(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `few_shot.svg` (curves), `names.svg` (macro-F1) and `variation.svg` (R2), as far as the table has them.

    Bars are 95 % intervals over sections where there are some, else one SD.

    Raises
    ------
    PackageError
        If matplotlib is not installed.
    """
    rows, encoders = metrics["rows"], metrics["encoders"]
    names = [row for row in rows if row["measure"] == "macro_f1"]
    curves = [row for row in names if row["level"] is not None]
    flat = [row for row in names if row["level"] is None]
    numbers = [row for row in rows if row["measure"] == "r2"]
    with print_style():
        if curves:
            save_figure(folder / "few_shot.svg", _curves(curves, encoders))
        if flat:
            save_figure(folder / "names.svg", _dots(flat, encoders, "macro-F1, and its 95 % interval"))
        if numbers:
            save_figure(folder / "variation.svg", _dots(numbers, encoders, "R² on what was left out, mean and SD"))


def _curves(rows: Rows, encoders: Sequence[str]) -> Any:
    splits = list(dict.fromkeys(row["split"] for row in rows))
    figure = new_figure(PANEL_INCH * len(splits), 2.8)
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    for panel, split in zip(panels, splits, strict=True):
        own = sorted((row for row in rows if row["split"] == split), key=lambda row: row["level"])
        for order, encoder in enumerate(encoders):
            known = [row for row in own if encoder in row["scores"]]
            levels = [row["level"] for row in known]
            means = [row["scores"][encoder]["mean"] for row in known]
            sds = [row["scores"][encoder]["sd"] or 0.0 for row in known]
            panel.errorbar(levels, means, sds, label=encoder, capsize=2, **pen(order))
        ticks = [row["level"] for row in own]
        panel.set_xscale("log")
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panel.minorticks_off()
        panel.set(title=split, xlabel=own[0]["level_name"], ylim=(0, 1))
    panels[0].set_ylabel("macro-F1 (mean, SD of draws)")
    panels[0].legend(frameon=False)
    return figure


def _dots(rows: Rows, encoders: Sequence[str], title: str) -> Any:
    figure = new_figure(6.2, 0.9 + 0.32 * len(rows))
    panel = figure.subplots()
    places = range(len(rows))[::-1]
    for order, encoder in enumerate(encoders):
        dots = pen(order) | {"linestyle": "none"}
        panel.errorbar([], [], xerr=[], label=encoder, **dots)  # for the legend
        shift = 0.5 * (order / max(1, len(encoders) - 1) - 0.5)
        for place, row in zip(places, rows, strict=True):
            if score := row["scores"].get(encoder):
                panel.errorbar(score["mean"], place - shift, xerr=_bars(score), **dots)
    panel.axvline(0, color=GREY, linewidth=0.6)
    lowest = min(score["mean"] - (score["sd"] or 0.0) for row in rows for score in row["scores"].values())
    panel.set(xlabel=title, xlim=(max(-1.0, min(-0.02, lowest - 0.02)), 1.02), ylim=(-0.6, len(rows) - 0.4))
    panel.set_yticks(list(places), [f"{row['target']}, {row['split']}" for row in rows])
    panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _bars(score: Mapping[str, Any]) -> list[list[float]]:
    """Return how far the bars reach to the left and to the right."""
    if score["low"] is None:
        return [[score["sd"] or 0.0]] * 2
    return [[max(0.0, score["mean"] - score["low"])], [max(0.0, score["high"] - score["mean"])]]
