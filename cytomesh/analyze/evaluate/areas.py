"""Areas named by a head on frozen features, on seen, transfer and unseen brains."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cytomesh.analyze.evaluate.heads import name_nodes
from cytomesh.analyze.evaluate.task import Bench, Encoded, Outcome, Task, TaskConfig
from cytomesh.classify.assemble import same_labels
from cytomesh.graph.provenance import ANNOTATION, LINKS, REFERENCE, SURFACE

AREAS = "areas"
MACRO_F1: dict[str, str] = {"macro_f1": "macro-F1"}
"""What the table shows of names."""


class AreasConfig(TaskConfig):
    """Expert areas, by the protocol's head and split."""


class Areas(Task):
    """Macro-F1 of expert areas, with its interval, errors by distance, and margins."""

    Config: ClassVar[type[TaskConfig]] = AreasConfig
    parts: ClassVar[tuple[str, ...]] = (SURFACE, LINKS, REFERENCE, ANNOTATION)
    measures: ClassVar[dict[str, str]] = {**MACRO_F1, "error_hops": "error distance (areas)"}

    def why_absent(self, bench: Bench) -> str:
        """Say that nothing is annotated, or one area only."""
        n_areas = np.unique(bench.annotation[bench.annotation > 0]).size
        return "" if n_areas > 1 else "one area is annotated" if n_areas else "no node is annotated"

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Train on annotated nodes and score on each evaluation side."""
        same_labels(bench.graphs)
        return name_nodes(bench, encoded, bench.annotation, bench.graphs[0].labels, AREAS)
