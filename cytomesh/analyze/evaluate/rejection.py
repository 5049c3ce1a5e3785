"""Whether doubt betrays what was never learnt: nodes of areas that a head was not shown."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from sklearn.metrics import roc_auc_score

from cytomesh.analyze.evaluate.areas import Areas
from cytomesh.analyze.evaluate.heads import evaluated_sides, fitted, node_data
from cytomesh.analyze.evaluate.task import Bench, Encoded, Outcome, Score, TaskConfig
from cytomesh.classify.assemble import same_labels
from cytomesh.core.counted import counted
from cytomesh.core.random import generator

TARGET = "left-out areas"
LEAST = 3
"""Areas of which one can be left out and two learnt."""


class RejectionConfig(TaskConfig):
    """Nodes of areas that were left out of the training are to be called unknown by their low probability."""

    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the areas that are left out, drawn anew for each seed; at least one."""


class Rejection(Areas):
    """Area under the ROC curve of 1 - the highest probability, for "of a left-out area" (Hendrycks and Gimpel, 2017).

    Chance is 0.5.
    """

    Config: ClassVar[type[TaskConfig]] = RejectionConfig
    measures: ClassVar[dict[str, str]] = {"auroc": "AUROC"}

    def why_absent(self, bench: Bench) -> str:
        """Say that there are too few areas."""
        if missing := super().why_absent(bench):
            return missing
        n = node_data(bench, bench.annotation, bench.sides(bench.annotation)).classes.size
        return "" if n >= LEAST else f"{counted(n, 'area')} to learn, of which none can be left out"

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Leave areas out, train on the others, and score doubt on each evaluation side."""
        same_labels(bench.graphs)
        data = node_data(bench, bench.annotation, bench.sides(bench.annotation))
        n_left = min(max(1, round(self.settings.share * data.classes.size)), data.classes.size - 2)
        found: list[Score] = []
        for repeat in range(bench.settings.n_seeds):
            random = generator(bench.settings.seed, "left-out areas", repeat)
            is_left = np.isin(bench.annotation, random.choice(data.classes, n_left, replace=False))
            head = fitted(encoded, bench.annotation, data.is_train & ~is_left, bench.settings.seed + repeat)
            for side in evaluated_sides(data):
                rows = np.flatnonzero(data.evaluated(side))
                if np.unique(is_left[rows]).size < 2:
                    continue  # this side shows none of them, or nothing else
                doubt = 1 - head.predict_proba(encoded.features[rows]).max(axis=1)
                found.append(Score(TARGET, side, "auroc", float(roc_auc_score(is_left[rows], doubt)), repeat=repeat))
        return Outcome(found)
