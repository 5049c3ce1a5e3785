"""What features explain of cortical structure: tables and curves of the runs of `cytomesh variation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.tables import read_table
from cytomesh.page.charts import axis, chart, colour_bar, colour_scale, curve, label, numbers
from cytomesh.page.colours import CIVIDIS
from cytomesh.page.html import Column, Html, Number, Part, Row, bullets, choice, join, table, tag, without_empty
from cytomesh.report.results import damage_notes, read_variations

TITLE = "Structural variation"
LEFT_OUT = {
    "section": "sections",
    "block": "blocks of cortex",
    "hemisphere": "hemispheres",
    "brain": "brains",
}


def variation_part(run: Path) -> Part:
    """Build the part with every such analysis of the run."""
    found = read_variations(run)
    damaged = damage_notes(run, "analyze", found, "variation")
    body = [*damaged]
    for name, metrics in found.items():
        body += [tag("h3", name), _scores(metrics), _curves(metrics), _variances(metrics)]
        body.append(_importance(run / "analyze" / name / "importance.parquet"))
        body += [bullets(metrics["notes"])] if metrics["notes"] else []
    return Part("variation", TITLE, join(body), is_absent=not found)


def _scores(metrics: Mapping[str, Any]) -> Html:
    rows: list[Row] = []
    for features, targets in metrics["features"].items():
        for target, scores in targets.items():
            null = scores.get("null", {})
            spread = f"{null['mean']:.3f} ± {null['sd']:.3f}" if null else None
            numbers = (scores["r2"][-1], scores["location"], scores["beyond_location"])
            rows.append([target, features, *numbers, spread, null.get("p")])
    scored = ("R² of all components", "R² of location", "beyond location")
    columns: list[Column] = ["target", "features", *map(Number, scored), "null, mean ± SD", Number("p")]
    left_out = LEFT_OUT[metrics["folds"]["kind"]]
    caption = (
        f"Linear regression on the principal components of the features, scored on {left_out} that were left out in "
        "turn (mean over folds; below 0: worse than the mean). Location: polynomials of the reference position. Beyond "
        "location: share of what location leaves open that the features explain beside it. Null: the targets rotated "
        "on the sphere."
    )
    kept, filled = without_empty(columns, rows)
    return table(kept, filled, caption=caption, sortable=True)


def _curves(metrics: Mapping[str, Any]) -> Html:
    components: Sequence[int] = metrics["components"]
    targets = dict.fromkeys(target for scores in metrics["features"].values() for target in scores)
    panels = []
    for target in targets:
        traces = [
            curve(features, components, scores[target]["r2"], order, hovertemplate=_hover(features))
            for order, (features, scores) in enumerate(metrics["features"].items())
            if target in scores
        ]
        x = axis("principal components of the features", type="log", tickvals=components, ticktext=components)
        caption = "R² on held-out cortex, by the number of components that the regression uses."
        panels.append((target, chart(traces, x, axis(f"R² of {target}"), caption=caption, width_px=620)))
    return choice("Target", panels)


def _variances(metrics: Mapping[str, Any]) -> Html:
    traces = []
    for order, (features, scores) in enumerate(metrics["features"].items()):
        share = 100 * np.asarray(next(iter(scores.values()))["variance"], np.float64)
        hover = f"{label(features)}: %{{y:.1f}} % with %{{x}} components<extra></extra>"
        traces.append(curve(features, np.arange(1, len(share) + 1), share, order, hovertemplate=hover))
    y = axis("cumulative variance of the features", "%", rangemode="tozero")
    ticks = metrics["components"]
    x = axis("principal components", type="log", tickvals=ticks, ticktext=ticks)
    caption = "Share of the features' variance that their principal components explain together."
    return chart(traces, x, y, caption=caption, width_px=620)


def _importance(path: Path) -> Html:
    table = read_table(path, needs=("features", "target", "component", "importance"))
    panels = []
    for features in dict.fromkeys(table["features"]):
        own = {name: table[name][table["features"] == features] for name in ("target", "component", "importance")}
        targets = list(dict.fromkeys(own["target"]))
        rows = [own["importance"][own["target"] == target] for target in targets]
        trace = {
            "type": "heatmap",
            "z": [numbers(row, 3) for row in rows],
            "x": list(range(1, 1 + max(map(len, rows)))),
            "y": [label(target) for target in targets],
            "zmin": 0,
            "xgap": 1,
            "ygap": 1,
            "colorscale": colour_scale(CIVIDIS),
            "colorbar": colour_bar("SD of the target per SD"),
            "hovertemplate": "%{y}<br>component %{x}: %{z:.3f} SD<extra></extra>",
        }
        caption = (
            f"{features}: by how many of its standard deviations a target changes with one of each of the first "
            "principal components (absolute coefficients of the regression on all nodes)."
        )
        x, y = axis("principal component"), axis("", type="category", autorange="reversed")
        height = 140 + 26 * len(targets)
        panels.append((str(features), chart([trace], x, y, caption=caption, height_px=height, width_px=820)))
    return choice("Features", panels)


def _hover(features: str) -> str:
    return f"{label(features)}: %{{y:.3f}} with %{{x}} components<extra></extra>"
