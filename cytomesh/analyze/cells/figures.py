"""The figures of measures of cells for print; their numbers are those of `layers.parquet` and `profile.parquet`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.cells.measure import LAYERS
from cytomesh.page.prints import figure, legend_beside, line_pen, pen, printed, save, side_by_side

MEASURES: Mapping[str, str] = {
    "density_per_mm3": "cells per mm³",
    "density_per_mm2": "cells per mm² of section",
    "area_um2": "mean area of a cell, µm²",
    "nearest_um": "mean distance to the nearest cell, µm",
}
PANEL_INCH = 2.4


@printed("cells")
def write_figures(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `profile` (measures over depth) and, where layers are told apart, `layers`; a hemisphere a line."""
    graphs = metrics["graphs"]
    save(folder, "profile", _profiles({name: facts["profile"] for name, facts in graphs.items()}, metrics["depth"]))
    layers = {name: facts["layers"][1:] for name, facts in graphs.items()}
    if any(layers.values()):
        save(folder, "layers", _layers(layers))


def _shown(rows: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """Return the measures that any row has; densities per volume, or else per area."""
    known = {name for own in rows.values() for row in own for name in MEASURES if row.get(name) is not None}
    return [
        name for name in MEASURES if name in known and not (name == "density_per_mm2" and "density_per_mm3" in known)
    ]


def _profiles(rows: Mapping[str, list[Mapping[str, Any]]], depth: str) -> Any:
    drawn, panels, measures = _panels(rows)
    for panel, measure in zip(panels, measures, strict=True):
        for order, (graph, own) in enumerate(rows.items()):
            values = np.array([row.get(measure) for row in own], np.float64)
            panel.plot(values, [row["depth"] for row in own], label=graph, **line_pen(order, len(own)))
        panel.set(xlabel=MEASURES[measure], ylim=(1, 0))
        _from_zero(panel)
    panels[0].set_ylabel(f"{depth} depth\n(0 pial, 1 white)")
    legend_beside(panels[-1])
    return drawn


def _layers(rows: Mapping[str, list[Mapping[str, Any]]]) -> Any:
    drawn, panels, measures = _panels(rows)
    places = np.arange(len(LAYERS))
    for panel, measure in zip(panels, measures, strict=True):
        for order, (graph, own) in enumerate(rows.items()):
            values = np.array([row.get(measure) for row in own], np.float64)
            shift = side_by_side(order, len(rows))
            panel.errorbar(values, places + shift, label=graph, **(pen(order) | {"linestyle": "none"}))
        panel.set(xlabel=MEASURES[measure], ylim=(len(LAYERS) - 0.4, -0.6))
        panel.set_yticks(places, LAYERS)
        _from_zero(panel)
    panels[0].set_ylabel("layer")
    legend_beside(panels[-1])
    return drawn


def _panels(rows: Mapping[str, list[Mapping[str, Any]]]) -> tuple[Any, Any, list[str]]:
    measures = _shown(rows)
    drawn = figure(PANEL_INCH * len(measures) + 1.0, 2.6)
    return drawn, drawn.subplots(1, len(measures), sharey=True, squeeze=False)[0], measures


def _from_zero(panel: Any) -> None:
    panel.set_xlim(left=0)
    panel.locator_params(axis="x", nbins=4)
    panel.xaxis.set_major_formatter("{x:,.10g}")
