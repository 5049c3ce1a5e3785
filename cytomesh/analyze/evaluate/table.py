"""The table across encoders, and how far apart any two of them are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from cytomesh.analyze.evaluate.task import Named, Outcome, Task
from cytomesh.classify.evaluation import macro_f1_draws, section_draws
from cytomesh.core.learning import macro_f1

Outcomes = Mapping[str, Mapping[str, Outcome]]
"""By task and encoder."""
Place = tuple[str, str, str, float | None]
"""Target, split, measure and level of a score."""


def table_rows(tasks: Mapping[str, Task], found: Outcomes) -> list[dict[str, Any]]:
    """Return the rows of the table: what a task's `measures` name, mean and SD over repeats of each encoder.

    Returns
    -------
    list of dict
        task, target, split, measure, title (of the measure), level and level_name (of curves; else null), and `scores`:
        by encoder mean, sd (sample SD over trainings, draws or folds; null for a single one), n, and the 95 % interval
        low to high (null where there is none).
    """
    rows: list[dict[str, Any]] = []
    for name, of_encoders in found.items():
        task = tasks[name]
        values = {encoder: _by_place(outcome) for encoder, outcome in of_encoders.items()}
        places = dict.fromkeys(place for own in values.values() for place in own)
        for measure, title in task.measures.items():
            for target, split, _, level in (place for place in places if place[2] == measure):
                scores = {
                    encoder: _spread(own, (target, split, measure, level))
                    for encoder, own in values.items()
                    if (target, split, measure, level) in own
                }
                if all(score["mean"] is None for score in scores.values()):
                    continue
                facts = {"task": name, "target": target, "split": split, "measure": measure, "title": title}
                rows.append({**facts, "level": level, "level_name": task.level or None, "scores": scores})
    return rows


def _by_place(outcome: Outcome) -> dict[Place, list[float]]:
    found: dict[Place, list[float]] = {}
    for score in outcome.scores:
        found.setdefault((score.target, score.split, score.measure, score.level), []).append(score.value)
    return found


def _spread(values: Mapping[Place, list[float]], place: Place) -> dict[str, Any]:
    known = np.array([value for value in values[place] if np.isfinite(value)])
    if not known.size:  # an error distance without any error
        return {"mean": None, "sd": None, "n": 0, "low": None, "high": None}
    target, split, measure, level = place
    ends = {end: values.get((target, split, f"{measure}_{end}", level), [None])[0] for end in ("low", "high")}
    sd = float(known.std(ddof=1)) if known.size > 1 else None
    return {"mean": float(known.mean()), "sd": sd, "n": int(known.size), **ends}


def differences(found: Outcomes, seed: int) -> list[dict[str, Any]]:
    """Return how far apart any two encoders are in macro-F1, on the nodes that both named.

    Differences are paired: the same sections are drawn with replacement for both (95 % percentile interval; null where
    nodes have no sections).

    Returns
    -------
    list of dict
        task, target, split, encoder, other, difference (of the encoder over the other), low, high.
    """
    rows = []
    for task, of_encoders in found.items():
        for encoder, other in itertools.combinations(of_encoders, 2):
            mine, its = of_encoders[encoder].named, of_encoders[other].named
            for target, split in (place for place in mine if place in its):
                apart = _apart(mine[target, split], its[target, split], seed)
                rows.append(
                    {"task": task, "target": target, "split": split, "encoder": encoder, "other": other, **apart}
                )
    return rows


def _apart(mine: Named, its: Named, seed: int) -> dict[str, float | None]:
    both = macro_f1(mine.truth, mine.predicted), macro_f1(its.truth, its.predicted)
    drawn = section_draws(mine.section, seed)
    if drawn is None:
        return {"difference": both[0] - both[1], "low": None, "high": None}
    n_classes = 1 + int(max(named.max() for named in (mine.truth, mine.predicted, its.predicted)))
    values = [macro_f1_draws(drawn, named.truth, named.predicted, n_classes) for named in (mine, its)]
    low, high = np.percentile(values[0] - values[1], [2.5, 97.5])
    return {"difference": both[0] - both[1], "low": float(low), "high": float(high)}


def row_label(row: Mapping[str, Any]) -> str:
    """Return what a row of the table is called: "few_shot: areas, seen, macro-F1, 4 annotated sections"."""
    level = "" if row["level"] is None else f", {row['level']:g} {row['level_name']}"
    return f"{row['task']}: {row['target']}, {row['split']}, {row['title']}{level}"
