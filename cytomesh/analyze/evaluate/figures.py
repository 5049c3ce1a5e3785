"""The figures of an evaluation for print; their numbers are those of `table.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cytomesh.page.prints import dots, figure, pen, printed, save

PANEL_INCH = 3.1

Rows = Sequence[Mapping[str, Any]]


@printed("evaluate")
def write_figures(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `few_shot` (curves), `names` (macro-F1) and `variation` (R2), as far as the table has them.

    Bars are 95 % intervals over sections where there are some, else one SD.
    """
    rows, encoders = metrics["rows"], metrics["encoders"]
    names = [row for row in rows if row["measure"] == "macro_f1"]
    curves = [row for row in names if row["level"] is not None]
    flat = [row for row in names if row["level"] is None]
    numbers = [row for row in rows if row["measure"] == "r2"]
    if curves:
        save(folder, "few_shot", _curves(curves, encoders))
    if flat:
        save(folder, "names", dots(_labelled(flat), encoders, "macro-F1, and its 95 % interval"))
    if numbers:
        title = "R² on what was left out, mean and SD"
        save(folder, "variation", dots(_labelled(numbers), encoders, title))


def _curves(rows: Rows, encoders: Sequence[str]) -> Any:
    splits = list(dict.fromkeys(row["split"] for row in rows))
    drawn = figure(PANEL_INCH * len(splits), 2.8)
    panels = drawn.subplots(1, len(splits), sharey=True, squeeze=False)[0]
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
        panel.set(title=split, xlabel=own[0]["level_name"], xlim=(ticks[0] / 1.5, 1.5 * ticks[-1]), ylim=(0, 1))
    panels[0].set_ylabel("macro-F1 (mean, SD of draws)")
    panels[0].legend(frameon=False)
    return drawn


def _labelled(rows: Rows) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"{row['target']}, {row['split']}", row["scores"]) for row in rows]
