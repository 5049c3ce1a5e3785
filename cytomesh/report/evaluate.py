"""Encoders side by side: the table, curves and differences of the runs of `cytomesh evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cytomesh.page.charts import axis, chart, curve, label, numbers
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
    table,
    tag,
    without_empty,
)
from cytomesh.report.results import Spread, damage_notes, read_analyses
from cytomesh.report.score_table import score_cell

KIND = "evaluate"
TITLE = "Encoders side by side"
NEEDED = ("task", "target", "split", "title", "level", "level_name")
NO_BEST = ("probes", "error_hops", "boundary_um", "thickness_error_mm")
"""Tasks and measures of which the highest number is not the best."""
MOST_OPEN = 12
"""Differences that a reader takes in at once; more are folded."""


def evaluate_part(run: Path) -> Part:
    """Build the part with every such analysis of the run."""
    found = read_analyses(run, KIND, _checked)
    body = [*damage_notes(run, "analyze", found, KIND)]
    for name, metrics in found.items():
        body += [tag("h3", name), _table(metrics), *_curves(metrics), *_differences(metrics), *_notes(metrics)]
    return Part(KIND, TITLE, join(body), is_absent=not found)


def _checked(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    encoders = [str(encoder) for encoder in record["encoders"]]
    for row in record["rows"]:
        if not row.keys() >= {*NEEDED} or not row["scores"].keys() <= {*encoders}:
            raise KeyError(f"{name}: an incomplete row of {row.get('task')}")
        for score in row["scores"].values():
            if score["mean"] is not None:
                float(score["mean"])
    for apart in record["differences"]:
        float(apart["difference"])
    return {**record, "encoders": encoders, "notes": [str(note) for note in record["notes"]]}


def _table(metrics: Mapping[str, Any]) -> Html:
    encoders: Sequence[str] = metrics["encoders"]
    rows: list[Row] = []
    for row in metrics["rows"]:
        if row["level"] is None:
            means = [score["mean"] for score in row["scores"].values() if score["mean"] is not None]
            best = None if row["task"] in NO_BEST or row["measure"] in NO_BEST else max(means)
            cells = [_cell(row["scores"].get(encoder), best) for encoder in encoders]
            rows.append([row["task"], row["target"], row["split"], row["title"], *cells])
    columns: list[Column] = ["task", "of", "scored on", "measure", *map(Number, encoders)]
    caption = (
        "Frozen features under the same heads: mean ± SD over trainings, draws or left-out parts, best of each row in "
        "bold; in brackets the 95 % interval over sections drawn with replacement. Coordinates know where a node is, "
        "not what the tissue is like: the nearest annotated nodes for names, polynomials of the reference position for "
        "numbers. Probes ask what features should rather not know; chance is guessing each answer as often as it "
        "occurs. AUROC: whether low probability betrays areas that were not learnt, 0.5 is chance."
    )
    if any(row["task"] == "layers" for row in metrics["rows"]):
        caption += (
            " Layers: decoders of cytomesh segment-layers, by its own split; coordinates stand for depth alone, "
            "profiles for its classifier of intensity profiles."
        )
    return table(columns, rows, caption=caption, sortable=True)


def _cell(score: Mapping[str, Any] | None, best: float | None) -> Cell:
    if score is None or score["mean"] is None:
        return Cell("")
    cell = score_cell(Spread(score["mean"], score["sd"]), best)
    if score["low"] is None:
        return cell
    return Cell(f"{cell.text} ({score['low']:.3f} to {score['high']:.3f})", cell.value, cell.class_)


def _curves(metrics: Mapping[str, Any]) -> list[Html]:
    rows = [row for row in metrics["rows"] if row["level"] is not None]
    places = dict.fromkeys((row["task"], row["target"], row["split"], row["title"], row["level_name"]) for row in rows)
    panels = []
    for task, target, split, title, level_name in places:
        own = [row for row in rows if (row["task"], row["target"], row["split"]) == (task, target, split)]
        own = sorted((row for row in own if row["title"] == title), key=lambda row: row["level"])
        levels = [row["level"] for row in own]
        traces = []
        for order, encoder in enumerate(metrics["encoders"]):
            known = [(row["level"], row["scores"][encoder]) for row in own if encoder in row["scores"]]
            if known:
                bars = {"type": "data", "array": numbers([score["sd"] or 0.0 for _, score in known]), "thickness": 1}
                hover = f"{label(encoder)}: %{{y:.3f}} with %{{x}} {level_name}<extra></extra>"
                means = [score["mean"] for _, score in known]
                line = curve(encoder, [level for level, _ in known], means, order, error_y=bars, hovertemplate=hover)
                traces.append(line | {"mode": "lines+markers"})
        x = axis(level_name, type="log", tickvals=levels, ticktext=[f"{level:g}" for level in levels])
        caption = f"{title} of {target} on {split}, by the number of {level_name}; mean and SD over draws."
        y = axis(title, range=[0, 1])
        panels.append((f"{target}, {split}", chart(traces, x, y, caption=caption, width_px=620)))
    return [choice("Scored on", panels)] if panels else []


def _differences(metrics: Mapping[str, Any]) -> list[Html]:
    rows: list[Row] = []
    for apart in metrics["differences"]:
        low, high = apart["low"], apart["high"]
        interval = None if low is None else Cell(f"{low:+.3f} to {high:+.3f}", low)
        facts = [apart[key] for key in ("encoder", "other", "target", "split")]
        rows.append([*facts, Cell(f"{apart['difference']:+.3f}", apart["difference"]), interval])
    if not rows:
        return []
    columns: list[Column] = ["encoder", "against", "of", "scored on", Number("macro-F1"), Number("95 % interval")]
    caption = (
        "Differences of macro-F1 on the same nodes; the same sections are drawn with replacement for both. An interval "
        "that holds 0 does not tell the two apart; one that does not is about these weights: the same encoder trained "
        "with another seed may differ as much."
    )
    kept, filled = without_empty(columns, rows)
    shown = table(kept, filled, caption=caption, sortable=True)
    return [folded(f"{len(rows)} differences between encoders", shown) if len(rows) > MOST_OPEN else shown]


def _notes(metrics: Mapping[str, Any]) -> list[Html]:
    notes = metrics["notes"]
    summary = "One note on these scores" if len(notes) == 1 else f"{len(notes)} notes on these scores"
    return [folded(summary, bullets(notes))] if notes else []
