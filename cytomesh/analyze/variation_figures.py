"""The figures of structural variation for print; their numbers are those of `r2.parquet` and `importance.parquet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.page.prints import GREY, dots, figure, line_pen, printed, save

PANEL_INCH = (2.1, 1.7)
N_COLUMNS = 3
Importance = Mapping[str, list[float]]
LOWEST = -0.5
"""Scores below are not drawn: worse than the mean is worse than the mean."""


@printed("variation")
def write_figures(folder: Path, metrics: Mapping[str, Any], importance: Mapping[str, Importance]) -> None:
    """Write `r2` (targets and features), `components` (curves) and `importance_<features>`.

    Parameters
    ----------
    folder : Path
    metrics : mapping
        As in `metrics.json`.
    importance : dict of str to dict of str to list of float
        Of each component, by features and target.
    """
    found = metrics["features"]
    targets = list(dict.fromkeys(target for scores in found.values() for target in scores))
    rows = [(target, _scores(found, target)) for target in targets]
    save(folder, "r2", dots(rows, [*found, "location"], "R² on what was left out, mean and SD over folds"))
    save(folder, "components", _curves(found, targets, metrics["components"]))
    for features, of_targets in importance.items():
        save(folder, f"importance_{features}", _importance(features, of_targets))


def _scores(found: Mapping[str, Any], target: str) -> dict[str, Mapping[str, float | None]]:
    known = {name: scores[target] for name, scores in found.items() if target in scores}
    own: dict[str, Mapping[str, float | None]] = {
        name: {"mean": score["r2"][-1], "sd": score["r2_sd"][-1]} for name, score in known.items()
    }
    return own | {"location": {"mean": next(iter(known.values()))["location"], "sd": None}}


def _curves(found: Mapping[str, Any], targets: Sequence[str], components: Sequence[int]) -> Any:
    n_rows = -(-len(targets) // N_COLUMNS)
    columns = min(N_COLUMNS, len(targets))
    drawn = figure(PANEL_INCH[0] * columns + 1.2, PANEL_INCH[1] * n_rows + 0.3)
    grid = drawn.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel in grid.ravel()[len(targets) :]:
        panel.set_axis_off()
    for panel, target in zip(grid.ravel(), targets, strict=False):
        for order, (name, scores) in enumerate(found.items()):
            if target in scores:
                panel.plot(components, scores[target]["r2"], label=name, **line_pen(order, len(components)))
        panel.axhline(0, color=GREY, linewidth=0.6)
        panel.set_title(target, fontsize=7)
        panel.set_xscale("log")
        panel.set_xticks(components, [str(count) for count in components], rotation=90)
        panel.minorticks_off()
    grid[0, 0].set_ylim(max(LOWEST, grid[0, 0].get_ylim()[0]), 1.02)
    drawn.supxlabel("principal components of the features")
    drawn.supylabel("R², left out")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    drawn.legend(handles, labels, frameon=False, loc="outside right upper")
    return drawn


def _importance(features: str, of_targets: Importance) -> Any:
    drawn = figure(6.2, 1.0 + 0.2 * len(of_targets))
    panel = drawn.subplots()
    most = max(map(len, of_targets.values()))
    values = np.array([own + [np.nan] * (most - len(own)) for own in of_targets.values()])
    edges = (0.5, most + 0.5, len(of_targets) - 0.5, -0.5)
    image = panel.imshow(values, aspect="auto", cmap="Greys", vmin=0, extent=edges)
    panel.set(xlabel=f"principal component of {features} (coefficients: SD of the target per SD)")
    panel.set_yticks(np.arange(len(of_targets)), list(of_targets))
    drawn.colorbar(image, label="|coefficient|")
    return drawn
