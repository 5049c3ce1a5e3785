"""When scores can be trusted: confidence against accuracy, and scores by how well a node's image shows its cortex."""

from __future__ import annotations

from collections.abc import Sequence

from cytomesh.page.charts import axis, chart, curve, label, numbers
from cytomesh.page.html import Html, tag
from cytomesh.report.results import Model

MIN_NODES = 20
"""Bins of confidence with fewer nodes are not drawn: their accuracy is chance."""
BINS = {
    "obliqueness": ("obliqueness of the cut through the cortex", "deg"),
    "distance": ("distance from node to section", "mm"),
    "thickness": ("cortical thickness", "mm"),
}


def reliability_charts(models: Sequence[Model], side: str) -> Html:
    """Return the reliability diagram of one side and, for each kind of bin, macro-F1 by bin; one line per model."""
    shown = [(order, model) for order, model in enumerate(models) if side in model.sides]
    charts = [_reliability(shown, side), *(_by_bin(shown, side, key) for key in BINS)]
    return tag("div", *(each for each in charts if each is not None), class_="charts")


def _reliability(shown: Sequence[tuple[int, Model]], side: str) -> Html | None:
    traces = []
    for order, model in shown:
        bins = [each for each in model.sides[side].reliability if each["n_nodes"] >= MIN_NODES]
        if bins:
            sure, right = ([each[key] for each in bins] for key in ("confidence", "accuracy"))
            hover = f"{label(model.name)}<br>confidence %{{x:.2f}}: %{{y:.2f}} correct<extra></extra>"
            traces.append(curve(model.name, sure, right, order, hovertemplate=hover) | {"mode": "lines+markers"})
    if not traces:
        return None
    ideal = {"color": "#999999", "dash": "dot", "width": 1}
    traces.append(curve("perfect calibration", [0, 1], [0, 1], 0, hoverinfo="skip") | {"line": ideal})
    x = axis("confidence (probability of the best area)", range=[0, 1])
    y = axis("share of nodes classified correctly", range=[0, 1])
    caption = (
        f"Reliability on {side}: below the dotted line a model is overconfident, above it underconfident. "
        f"Bins with fewer than {MIN_NODES} nodes are left out."
    )
    return chart(traces, x, y, caption=caption)


def _by_bin(shown: Sequence[tuple[int, Model]], side: str, key: str) -> Html | None:
    title, unit = BINS[key]
    traces = []
    for order, model in shown:
        bins = model.sides[side].bins.get(key, [])
        if bins:
            middle = [0.5 * (each["low"] + each["high"]) for each in bins]
            hover = f"{label(model.name)}<br>%{{customdata[0]}} to %{{customdata[1]}} {unit}: %{{y:.3f}}<extra></extra>"
            line = curve(model.name, middle, [each["macro_f1"] for each in bins], order, hovertemplate=hover)
            limits = [numbers([each["low"], each["high"]], 3) for each in bins]
            traces.append(line | {"mode": "lines+markers", "customdata": limits})
    if not traces:
        return None
    caption = f"Macro-F1 on {side} by {title}: fifths of the nodes, drawn at their middles."
    return chart(traces, axis(title, unit, rangemode="tozero"), axis("macro-F1", rangemode="tozero"), caption=caption)
