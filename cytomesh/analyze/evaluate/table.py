"""The table across encoders, and how far apart any two of them are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cytomesh.analyze.evaluate.task import Named, Outcome, Score, Task
from cytomesh.classify.evaluation import macro_f1_draws, section_draws
from cytomesh.core.learning import macro_f1

Outcomes = Mapping[str, Mapping[str, Outcome]]
"""By task and encoder."""


def table_rows(tasks: Mapping[str, Task], found: Outcomes) -> list[dict[str, Any]]:
    """Return the rows of the table: what a task's `measures` name, mean and SD over repeats of each encoder.

    Returns
    -------
    list of dict
        task, target, split, measure, title (of the measure), level and level_name (of curves; else null), and `scores`:
        by encoder mean, sd (sample SD over trainings, draws or folds; null for a single one) and n.
    """
    rows: list[dict[str, Any]] = []
    for name, of_encoders in found.items():
        task = tasks[name]
        groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
        for encoder, outcome in of_encoders.items():
            for score in outcome.scores:
                if score.measure in task.measures:
                    row = groups.setdefault(_place(score), {})
                    row.setdefault(encoder, []).append(score.value)
        order = {measure: i for i, measure in enumerate(task.measures)}
        for place in sorted(groups, key=lambda own: order[own[2]]):
            target, split, measure, level = place
            title = task.measures[measure]
            scores = {encoder: _spread(values) for encoder, values in groups[place].items()}
            if all(score["mean"] is None for score in scores.values()):
                continue
            row = {"task": name, "target": target, "split": split, "measure": measure, "title": title}
            rows.append({**row, "level": level, "level_name": task.level or None, "scores": scores})
    return rows


def _place(score: Score) -> tuple[Any, ...]:
    return score.target, score.split, score.measure, score.level


def _spread(values: Sequence[float]) -> dict[str, Any]:
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:  # an error distance without any error
        return {"mean": None, "sd": None, "n": 0}
    sd = float(known.std(ddof=1)) if known.size > 1 else None
    return {"mean": float(known.mean()), "sd": sd, "n": int(known.size)}


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
