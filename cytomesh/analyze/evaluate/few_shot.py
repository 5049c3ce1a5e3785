"""How many annotated sections an encoder needs: scores of heads that see one, two, four, ... of them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from cytomesh.analyze.evaluate.areas import AREAS, MACRO_F1, Areas
from cytomesh.analyze.evaluate.heads import evaluated_sides, fitted, node_data
from cytomesh.analyze.evaluate.task import Bench, Encoded, Outcome, Score, TaskConfig
from cytomesh.classify.assemble import same_labels
from cytomesh.classify.nodes import NodeData
from cytomesh.core.config import ascending
from cytomesh.core.learning import macro_f1
from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import Mask


class FewShotConfig(TaskConfig):
    """Scores against the number of annotated training sections."""

    sections: list[int] = Field(default=[1, 2, 4, 8, 16, 32], min_length=1)
    """Numbers of sections. Draws are nested: the second section joins the first, and so on. More sections than there
    are cannot be drawn, and are left out; all of them together are the task `areas`."""

    @field_validator("sections")
    @classmethod
    def _ascending(cls, sections: list[int]) -> list[int]:
        return ascending(sections, 1, "sections")


class FewShot(Areas):
    """Macro-F1 over the areas of all training sections, whichever of them the drawn sections show.

    An area that no drawn section shows cannot be found, and counts as an F1 of 0: curves of different draws and numbers
    are of the same areas and the same test nodes.
    """

    Config: ClassVar[type[TaskConfig]] = FewShotConfig
    measures: ClassVar[dict[str, str]] = MACRO_F1
    level: ClassVar[str] = "annotated sections"

    def why_absent(self, bench: Bench) -> str:
        """Say that there are no sections, or too few of them."""
        if missing := super().why_absent(bench):
            return missing
        n = len(training_sections(bench, node_data(bench, bench.annotation, bench.sides(bench.annotation))))
        fewest = self.settings.sections[0]
        return "" if n >= fewest else f"{n} annotated training sections, fewer than the first step of {fewest}"

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Draw sections, train on their nodes, and score on each evaluation side."""
        same_labels(bench.graphs)
        data = node_data(bench, bench.annotation, bench.sides(bench.annotation))
        known = training_sections(bench, data)
        steps = [n for n in self.settings.sections if n <= len(known)]
        found: list[Score] = []
        for repeat in range(bench.settings.n_seeds):
            order = generator(bench.settings.seed, "few-shot", repeat).permutation(known)
            for n in steps:
                is_drawn = data.is_train & np.isin(bench.sections, order[:n])
                areas = np.unique(bench.annotation[is_drawn])
                for side in evaluated_sides(data):
                    rows = np.flatnonzero(data.evaluated(side))
                    predicted = self._named(bench, encoded, is_drawn, areas, rows)
                    value = macro_f1(bench.annotation[rows].astype(np.int64), predicted)
                    found.append(Score(AREAS, side, "macro_f1", value, n, repeat))
                    found.append(Score(AREAS, side, "areas_shown", areas.size / data.classes.size, n, repeat))
        left = [str(n) for n in self.settings.sections if n > len(known)]
        note = f"few_shot: no draws of {', '.join(left)} sections, {len(known)} training sections are annotated"
        return Outcome(found, notes=(note,) if left else ())

    def _named(
        self, bench: Bench, encoded: Encoded, is_drawn: Mask, areas: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        if areas.size == 1:  # nothing to tell apart: a classifier would have no second class
            return np.full(len(rows), areas[0], np.int64)
        head = fitted(encoded, bench.annotation, is_drawn, bench.settings.seed)
        return head.predict(encoded.features[rows]).astype(np.int64)


def training_sections(bench: Bench, data: NodeData) -> NDArray[np.int64]:
    """Return the sections with annotated training nodes, ascending; none where nodes have no section."""
    known = np.unique(bench.sections[data.is_train])
    return known[known >= 0]
