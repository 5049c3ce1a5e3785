"""Macro-F1 of every model beside what needs no image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cytomesh.page.html import Cell, Column, Html, Number, Row, table, wrapped
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
    "registered areas": "folding",
}
SAID = {
    "coordinates": "the area of the nearest training nodes",
    "probability maps": "the maps' most probable area",
    "registered areas": "that of the training brains, carried by registration",
}
KINDS = {"above": "above null", "score": "macro-F1", "beyond": "beyond registered areas"}
"""Columns of each side, in their order."""
MEANING = {
    "above": "macro-F1 above its mean with areas rotated on the sphere (in SDs of these rotations)",
    "score": "mean F1 of the areas, 1 is perfect (mean ± SD over seeds)",
    "beyond": "what images add to the registered areas (95 % interval over sections drawn with replacement)",
}
Entries = dict[str, dict[str, Cell]]
"""By side and kind; a cell's value is its number."""


def score_table(models: Sequence[Model], without: str = "image") -> Html:
    """Return models by sides, and what is known `without` images or features; the best of a column is bold.

    Where there is a null, what lies above it comes first: all that location alone gives away is in the null, too.
    """
    sides = sides_of(models)
    rows_of = [(model.name, ", ".join(model.inputs), _of_model(model)) for model in models]
    rows_of += _baselines(models, sides, without)
    numbers = {(side, kind): _numbers(rows_of, side, kind) for side in sides for kind in KINDS}
    best = {at: max(values) for at, values in numbers.items() if values}
    rows: list[Row] = []
    for title, inputs, of in rows_of:
        cells = [of.get(side, {}).get(kind, Cell("")) for side, kind in best]
        marked = zip(cells, best, strict=True)
        scores = (replace(cell, class_="best") if cell.value == best[at] else cell for cell, at in marked)
        rows.append([wrapped(title), *scores, wrapped(inputs)])
    # inputs last: on narrow screens, scores are seen beside the names
    columns: list[Column] = ["model", *(Number(f"{side}, {KINDS[kind]}") for side, kind in best), "inputs"]
    kinds = [KINDS[kind] + ": " + MEANING[kind] for kind in KINDS if any(kind == other for _, other in best)]
    meaning = [f"{side}: {SIDE_MEANING[side]}" for side in sides]
    said = [SAID[name] for name in BASELINES if any(title.startswith(f"no {without}: {name}") for title, *_ in rows_of)]
    caption = (
        f"Classification, best of each column in bold. {'; '.join([*kinds, *meaning])}. "
        f"The last rows need no {without}: {', '.join(said)}."
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


def _of_model(model: Model) -> Entries:
    found = {}
    for side, scores in model.sides.items():
        found[side] = _entries(scores.measures["macro_f1"], scores.null)
        if beyond := scores.beyond_prior:
            interval = f" ({beyond['low']:+.3f} to {beyond['high']:+.3f})" if "low" in beyond else ""
            found[side]["beyond"] = Cell(f"{beyond['difference']:+.3f}{interval}", beyond["difference"])
    return found


def _entries(score: Spread, null: Spread | None) -> dict[str, Cell]:
    entries = {"score": score_cell(score)}
    if null is not None:
        above = score.mean - null.mean
        sds = f" ({above / null.sd:.1f} SD)" if null.sd else ""
        entries["above"] = Cell(f"{above:+.3f}{sds}", above)
    return entries


def _numbers(rows: Sequence[tuple[str, str, Entries]], side: str, kind: str) -> list[float]:
    return [float(of[side][kind].value or 0.0) for *_, of in rows if kind in of.get(side, {})]


def _baselines(models: Sequence[Model], sides: Sequence[str], without: str) -> list[tuple[str, str, Entries]]:
    """Return (title, inputs, entries by side) of each baseline, once for all models with the same nodes and areas."""
    groups: dict[tuple[str, tuple[tuple[str, float], ...]], list[Model]] = {}
    for name in BASELINES:
        for model in models:
            known = {side: model.sides[side].baselines for side in sides if side in model.sides}
            scores = tuple((side, values[name]) for side, values in known.items() if name in values)
            if scores:
                groups.setdefault((name, scores), []).append(model)
    rows = []
    for (name, scores), whose in groups.items():
        names = ", ".join(model.name for model in whose)
        is_one = [other for other, _ in groups].count(name) == 1
        title = f"no {without}: {name}" if is_one else f"no {without}: {name}, as for {names}"
        nulls = {side: model.sides[side].baseline_nulls.get(name) for side, _ in scores for model in reversed(whose)}
        rows.append((title, BASELINES[name], {side: _entries(Spread(f1), nulls[side]) for side, f1 in scores}))
    return rows
