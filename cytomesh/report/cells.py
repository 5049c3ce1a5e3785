"""Cells by layer and depth: tables and profiles of the runs of `cytomesh cells`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.page.charts import axis, chart, curve, label
from cytomesh.page.html import Column, Html, Number, Part, Row, bullets, choice, join, table, tag, without_empty
from cytomesh.report.results import damage_notes, read_analyses

TITLE = "Cells"
COLUMNS: Mapping[str, Column] = {
    "n_cells": Number("cells", "", ",.0f"),
    "cortex_mm2": Number("cortex", "mm²", ",.2f"),
    "density_per_mm2": Number("density", "per mm²", ",.0f"),
    "density_per_mm3": Number("density", "per mm³", ",.0f"),
    "area_um2": Number("mean area", "µm²", ".1f"),
    "diameter_um": Number("mean diameter", "µm", ".2f"),
    "circularity": Number("circularity", "", ".3f"),
    "eccentricity": Number("eccentricity", "", ".3f"),
    "nearest_um": Number("nearest neighbour", "µm", ".1f"),
}
PROFILES = {
    "density_per_mm3": ("Density per volume", "cells", "per mm³"),
    "density_per_mm2": ("Density per area", "cells", "per mm² of section"),
    "diameter_um": ("Diameter", "mean diameter", "µm"),
    "nearest_um": ("Nearest neighbour", "mean distance to the nearest cell", "µm"),
}
LAYERS_FROM = {
    "none": "Layers are not told apart.",
    "depths": "Layers by fixed relative depths.",
    "analysis": "Layers by their thickness at each node.",
    "table": "Layers as the tables of cells say.",
    "masks": "Layers as they were drawn in the sections.",
}


def cells_part(run: Path) -> Part:
    """Build the part with every such analysis of the run."""
    found = read_analyses(run, "cells", _checked)
    body = [*damage_notes(run, "analyze", found, "cells")]
    for name, metrics in found.items():
        correction = f"Correction: {metrics['correction'].replace(' um', ' µm')}."
        body += [tag("h3", name), tag("p", correction), _layers(metrics), _drawn(metrics), _profiles(metrics)]
        body += [bullets(metrics["notes"])] if metrics["notes"] else []
    return Part("cells", TITLE, join(body), is_absent=not found)


def _checked(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    LAYERS_FROM[record["layers_from"]]
    for graph, facts in record["graphs"].items():
        depths = [row["depth"] for row in facts["profile"]]
        if not facts["layers"] or not depths or depths != sorted(depths):
            raise KeyError(f"{name}: incomplete layers or profile of {graph}")
    return {**record, "correction": str(record["correction"]), "notes": [str(note) for note in record["notes"]]}


def _layers(metrics: Mapping[str, Any]) -> Html:
    rows: list[Row] = [
        [graph, row["layer"], *(row.get(name) for name in COLUMNS)]
        for graph, facts in metrics["graphs"].items()
        for row in facts["layers"]
    ]
    caption = (
        "All cells between pial and white boundary of the sections that have tables. Per mm² of cortex in the "
        "sections, as cut; per mm³ with the correction above. Sizes are those in the sections. "
        f"{LAYERS_FROM[metrics['layers_from']]}"
    )
    kept, filled = without_empty(["hemisphere", "layer", *COLUMNS.values()], rows)
    return table(kept, filled, caption=caption, sortable=True)


def _drawn(metrics: Mapping[str, Any]) -> Html:
    if not metrics.get("drawn"):
        return Html("")
    rows: list[Row] = [
        [row["section"], row["layer"], row["thickness_mm"], *(row.get(name) for name in COLUMNS)]
        for row in metrics["drawn"]
    ]
    caption = (
        "All cells that the tables have in a layer, over the area of the layer as it was drawn (layerinfo.txt): the "
        "densities as INM-1 publishes them, which need no surface."
    )
    kept, filled = without_empty(["section", "layer", Number("thickness", "mm", ".3f"), *COLUMNS.values()], rows)
    return table(kept, filled, caption=caption, sortable=True)


def _profiles(metrics: Mapping[str, Any]) -> Html:
    panels = []
    for name, (title, what, unit) in PROFILES.items():
        traces, most = [], 0.0
        for order, (graph, facts) in enumerate(metrics["graphs"].items()):
            rows = facts["profile"]
            values = np.array([row.get(name) for row in rows], np.float64)
            if np.isfinite(values).any():
                hover = f"{label(graph)}: %{{x:.4g}} {unit} at depth %{{y:.2f}}<extra></extra>"
                most = max(most, float(np.nanmax(values)))
                traces.append(curve(graph, values, [row["depth"] for row in rows], order, hovertemplate=hover))
        if traces:
            depth = axis(f"{metrics['depth']} depth (0 pial, 1 white)", range=[1, 0])
            caption = f"From the pial boundary (top) to the white one, {len(rows)} bins over all sections with tables."
            x = axis(what, unit, range=[0, 1.05 * most])
            panels.append((title, chart(traces, x, depth, caption=caption, width_px=620, height_px=420)))
    return choice("Profile", panels)
