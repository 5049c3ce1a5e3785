"""Macro-F1 of every model beside what needs no image."""

from __future__ import annotations

from collections.abc import Sequence

from cytomesh.page.html import Cell, Column, Content, Html, Number, Row, table
from cytomesh.report.results import SIDES, Model, Spread

SIDE_MEANING = {
    "seen": "test sections of training brains",
    "transfer": "brains whose images, but not labels, were trained on",
    "unseen": "brains never used before",
    "test": "test side of the split",
}
BASELINES = {
    "coordinates": "reference position",
    "probability maps": "atlas",
}


def score_table(models: Sequence[Model]) -> Html:
    """Return models by sides, macro-F1, and what needs no image; the best of a column is bold."""
    sides = sides_of(models)
    baselines = _baselines(models, sides)
    found = [{side: scores.measures["macro_f1"].mean for side, scores in model.sides.items()} for model in models]
    found += [scores for _, _, scores in baselines]
    best = {side: max(scores[side] for scores in found if side in scores) for side in sides}
    with_null = [side for side in sides if any(side in model.sides and model.sides[side].null for model in models)]
    columns: list[Column] = ["model", "inputs"]
    columns += [
        Number(title, "macro-F1") for side in sides for title in (side, f"{side}, spin null")[: 1 + (side in with_null)]
    ]
    rows: list[Row] = []
    for model in models:
        row: list[Cell | Content] = [model.name, ", ".join(model.inputs)]
        for side in sides:
            scores = model.sides.get(side)
            row.append(score_cell(scores.measures["macro_f1"] if scores else None, best[side]))
            if side in with_null:
                row.append(score_cell(scores.null if scores else None))
        rows.append(row)
    for title, inputs, values in baselines:
        row = [title, inputs]
        for side in sides:
            row.append(score_cell(Spread(values[side]) if side in values else None, best[side]))
            row += [Cell("")] * (side in with_null)
        rows.append(row)
    meaning = "; ".join(f"{side}: {SIDE_MEANING[side]}" for side in sides)
    caption = (
        "Classification: macro-F1 (mean F1 of the areas; 1 is perfect), mean ± SD over seeds, best of a column bold. "
        f"{meaning}. The last rows need no image: the area of the nearest training node, the maps' most probable area."
    )
    return table(columns, rows, caption=caption, sortable=True)


def score_cell(value: Spread | None, best: float | None = None) -> Cell:
    """Return a score, bold where it is the best one."""
    if value is None:
        return Cell("")
    return Cell(str(value), value.mean, "best" if value.mean == best else None)


def sides_of(models: Sequence[Model]) -> list[str]:
    """Return the sides of the split on which any model was scored."""
    return [side for side in SIDES if any(side in model.sides for model in models)]


def _baselines(models: Sequence[Model], sides: Sequence[str]) -> list[tuple[str, str, dict[str, float]]]:
    """Return (title, inputs, macro-F1 by side) of each baseline, once for all models with the same nodes and areas."""
    groups: dict[tuple[str, tuple[tuple[str, float], ...]], list[str]] = {}
    for name in BASELINES:
        for model in models:
            known = {side: model.sides[side].baselines for side in sides if side in model.sides}
            scores = tuple((side, values[name]) for side, values in known.items() if name in values)
            if scores:
                groups.setdefault((name, scores), []).append(model.name)
    rows = []
    for (name, scores), whose in groups.items():
        title = f"no image: {name}" if len(whose) == len(models) else f"no image: {name}, as for {', '.join(whose)}"
        rows.append((title, BASELINES[name], dict(scores)))
    return rows
