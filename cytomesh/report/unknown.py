"""Areas left out of the training: how often doubt betrays them, by each kind of doubt."""

from __future__ import annotations

from collections.abc import Sequence

from cytomesh.page.html import Column, Html, Number, Row, table, tag
from cytomesh.report.results import Model

DOUBTS = {
    "confidence": "low probability",
    "distance": "inputs unlike those of training",
    "either": "the rarer of the two",
}


def unknown_part(models: Sequence[Model]) -> list[Html]:
    """Return a heading and a table, if areas were left out of any model's training."""
    rows: list[Row] = []
    for model in models:
        for side, found in model.unknown.items():
            for doubt, scores in found["doubts"].items():
                shares = [scores[key] for key in ("auroc", "left_out_rejected", "rejected", "right", "wrong")]
                rows.append([model.name, side, DOUBTS[doubt], found["n_left_out"], *shares])
    if not rows:
        return []
    columns: list[Column] = ["model", "side", "doubt", Number("nodes of left-out areas", form=",d"), Number("AUROC")]
    columns += [Number("left out: rejected"), Number("known: rejected")]
    columns += [Number("known: accepted, correct"), Number("known: accepted, wrong")]
    caption = (
        "Areas left out of the training, and how well the model's doubt separates their nodes from those of known "
        "areas: area under the ROC curve, 0.5 is chance. Shares at the threshold that rejects 5 % of validation nodes."
    )
    return [tag("h3", "Areas left out of the training"), table(columns, rows, caption=caption, sortable=True)]
