"""Scores of classifications: tables, error distance, training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.labels import LabelTable
from cytomesh.graph.storage import CortexGraph
from cytomesh.page.charts import axis, bar_marker, beside, category_axis, chart, curve, dot_marker, dots, label, numbers
from cytomesh.page.colours import css_colour
from cytomesh.page.html import (
    Cell,
    Column,
    Html,
    Number,
    Part,
    Row,
    bullets,
    choice,
    folded,
    join,
    missing,
    swatch,
    table,
    tag,
)
from cytomesh.report.confusion import confusion_chart
from cytomesh.report.reliability import reliability_charts
from cytomesh.report.results import Model, SideScores, damage_notes, read_models, read_predictions, unfinished_notes
from cytomesh.report.score_table import SIDE_MEANING, score_cell, sides_of
from cytomesh.report.unknown import unknown_part

TITLE = "Classification"
MEASURES = {
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "top3": "top-3 accuracy",
    "ece": "calibration error",
    "confidence": "mean confidence",
    "error_hops": "error distance (areas)",
}


def score_part(run: Path, graphs: Sequence[CortexGraph]) -> Part:
    """Build the part with every classification of the run."""
    models = read_models(run)
    left_out = damage_notes(run, "classify", {model.name for model in models}) + unfinished_notes(run, "classify")
    predicted = _predictions(read_predictions(run))
    if not models and not left_out and not predicted:
        return missing(
            "classification", TITLE, "No area has been classified in this run: 'cytomesh classify' has not run."
        )
    labels = graphs[0].labels
    pairs = [(model, side) for model in models for side in model.sides]
    sides = sides_of(models)
    if not models:
        return Part("classification", TITLE, join([*left_out, *predicted]), is_absent=not predicted)
    body = [
        *left_out,
        _score_chart(models),
        choice("Side of the split", [(side, _measure_table(models, side)) for side in sides]),
        *_notes(models),
        tag("h3", "Scores by area"),
        choice(
            "Model and side of the split",
            [(f"{model.name}, {side}", _area_table(model, side, labels)) for model, side in pairs],
        ),
        tag("h3", "Confusion between areas"),
        choice(
            "Model and side of the split",
            [(f"{model.name}, {side}", confusion_chart(model, side)) for model, side in pairs],
        ),
        tag("h3", "Where the errors are"),
        choice("Side of the split", [(side, _error_chart(models, side)) for side in sides]),
        tag("h3", "When to trust the models"),
        choice("Side of the split", [(side, reliability_charts(models, side)) for side in sides]),
        *unknown_part(models),
        *_curves(models),
        *predicted,
    ]
    return Part("classification", TITLE, join(body))


def _predictions(records: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    """Return what classifiers that were trained elsewhere have predicted in this run."""
    if not records:
        return []
    rows: list[Row] = [
        [name, graph, found["n_areas"], 100 * found["share_unknown"], found["confidence"], found["surface_mm2"]]
        for name, record in records.items()
        for graph, found in record["graphs"].items()
    ]
    columns: list[Column] = [
        "prediction",
        "graph",
        Number("areas", form=",d"),
        Number("unknown", "% of linked nodes", ".1f"),
        Number("mean confidence"),
        Number("surface", "mm²", ",.0f"),
    ]
    caption = "Areas predicted by trained classifiers (cytomesh classify-predict). They are not scored. "
    if any(found["share_unknown"] for record in records.values() for found in record["graphs"].values()):
        caption += "Nodes below min_confidence, or beyond max_distance_quantile, are left unknown. "
    caption += "Surface: of all predicted areas."
    return [tag("h3", "Predictions by trained classifiers"), table(columns, rows, caption=caption, sortable=True)]


def _measure_table(models: Sequence[Model], side: str) -> Html:
    shown = [(model, model.sides[side]) for model in models if side in model.sides]
    keys = [key for key in MEASURES if any(key in scores.measures for _, scores in shown)]
    rows: list[Row] = [
        [
            model.name,
            scores.n_nodes,
            *(_cell(scores, key) for key in keys),
            _distance(scores.error_mm),
        ]
        for model, scores in shown
    ]
    columns: list[Column] = ["model", Number("nodes", form=",d"), *(Number(MEASURES[key]) for key in keys)]
    columns.append(Number("error distance", "mm"))
    caption = (
        f"All scores on {side} ({SIDE_MEANING[side]}), mean ± SD over seeds. Calibration error (expected): mean gap "
        "between confidence and accuracy, 0 is best. Error distance: how many area borders lie between the annotated "
        "and the wrongly predicted area (1: neighbours), and in mm along the surface from a wrongly named node to the "
        "area it was taken for (median, below it quartiles). Below macro-F1: 95 % interval, over sections drawn with "
        "replacement."
    )
    return table(columns, rows, caption=caption, sortable=True)


def _cell(scores: SideScores, key: str) -> Cell:
    """Return a measure; macro-F1 with its interval below it, as one column more would not fit the page."""
    cell = score_cell(scores.measures.get(key))
    if key != "macro_f1" or scores.interval is None:
        return cell
    low, high = scores.interval
    return replace(cell, text=join([cell.text, " ", tag("br"), f"{low:.2f}–{high:.2f}"]))


def _distance(error_mm: Mapping[str, float]) -> Cell:
    if not error_mm:
        return Cell("")
    quartiles = f"{error_mm['q25']:.3g}–{error_mm['q75']:.3g}"
    return Cell(join([f"{error_mm['median']:.3g} ", tag("br"), quartiles]), error_mm["median"])


def _score_chart(models: Sequence[Model]) -> Html:
    sides = sides_of(models)
    traces = []
    for order, model in enumerate(models):
        known = {side: model.sides[side].measures["macro_f1"] for side in sides if side in model.sides}
        place = beside(map(sides.index, known), order, len(models))
        means, sds = [score.mean for score in known.values()], [score.sd or 0.0 for score in known.values()]
        traces.append(dots(model.name, place, means, sds, dot_marker(order)))
    x, y = category_axis("side of the split", sides), axis("macro-F1", rangemode="tozero")
    return chart(traces, x, y, caption="Macro-F1 of each model; bars are one SD over seeds.")


def _area_table(model: Model, side: str, labels: LabelTable) -> Html:
    rows: list[Row] = []
    for area in model.sides[side].areas:
        name, support = str(area["area"]), int(area["support"])
        values = [area[key] if support else None for key in ("f1", "precision", "recall")]
        rows.append([Cell(join([*_swatch(name, labels), name]), name), support, *values])
    columns: list[Column] = ["area", Number("nodes", form=",d"), Number("F1"), Number("precision"), Number("recall")]
    caption = (
        f"Model '{model.name}' on {side}, probabilities averaged over seeds. Areas without test nodes have no score. "
        "Click a head to sort."
    )
    return tag("div", table(columns, rows, caption=caption, sortable=True), class_="tall")


def _swatch(name: str, labels: LabelTable) -> list[Html]:
    return [swatch(css_colour(rgba)) for _, known, rgba in labels.rows() if known == name]


def _error_chart(models: Sequence[Model], side: str) -> Html:
    shown = [(order, model) for order, model in enumerate(models) if side in model.sides]
    keys = {key for _, model in shown for key in model.sides[side].error_distance}
    steps = [
        *sorted((key for key in keys if key.isdigit()), key=int),
        *sorted(key for key in keys if not key.isdigit()),
    ]
    titles = ["correct" if key == "0" else "1 (neighbour)" if key == "1" else key for key in steps]
    traces = [
        {
            "type": "bar",
            "name": label(model.name),
            "x": titles,
            "y": numbers([100 * model.sides[side].error_distance.get(key, 0.0) for key in steps]),
            "marker": bar_marker(order),
            "hovertemplate": f"{label(model.name)}, %{{x}}: %{{y:.1f}} %<extra></extra>",
        }
        for order, model in shown
    ]
    x = axis("distance between annotated and predicted area", "area borders", type="category")
    caption = f"Errors on {side}: distance of the predicted from the annotated area on the graph of adjacent areas."
    return chart(traces, x, axis("share of nodes", "%"), caption=caption, barmode="group")


def _curves(models: Sequence[Model]) -> list[Html]:
    figures = []
    for key, title in (("loss", "training loss (nats)"), ("validation_macro_f1", "validation macro-F1")):
        traces: list[dict[str, Any]] = []
        for order, model in enumerate(models):
            for seed, rows in enumerate(model.curves):
                points = [(row["epoch"], row[key]) for row in rows if row.get(key) is not None]
                if points:
                    x, y = np.array(points, float).T
                    hover = f"{label(model.name)}, seed {seed}<br>epoch %{{x}}: %{{y:.3f}}<extra></extra>"
                    more = {"legendgroup": model.name, "showlegend": seed == 0, "opacity": 0.8}
                    traces.append(curve(model.name, x, y, order, hovertemplate=hover, **more))
        if traces:
            caption = f"{title[0].upper()}{title[1:]}; one line per seed."
            figures.append(chart(traces, axis("epoch"), axis(title), caption=caption))
    return [tag("h3", "Training of the classifiers"), tag("div", *figures, class_="charts")] if figures else []


def _notes(models: Sequence[Model]) -> list[Html]:
    items = {note: [model.name for model in models if note in model.notes] for model in models for note in model.notes}
    if not items:
        return []
    lines = [join([note, " ", tag("span", f"({', '.join(names)})", class_="soft")]) for note, names in items.items()]
    summary = "One note on these scores" if len(lines) == 1 else f"{len(lines)} notes on these scores"
    return [folded(summary, bullets(lines))]
