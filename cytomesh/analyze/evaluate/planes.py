"""A split by cutting plane: heads that learnt areas on coronal sections name them on sagittal ones, or the like."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import numpy as np

from cytomesh.analyze.evaluate.areas import AREAS, MACRO_F1, Areas
from cytomesh.analyze.evaluate.heads import name_nodes
from cytomesh.analyze.evaluate.task import Bench, Encoded, Outcome, Score, TaskConfig
from cytomesh.classify.assemble import same_labels
from cytomesh.classify.splits import BrainSplit
from cytomesh.core.errors import MissingStageError
from cytomesh.core.run import read_study_path
from cytomesh.study.study import Brain, open_study
from cytomesh.study.volume import AXES


class PlanesConfig(TaskConfig):
    """Areas, trained on the brains cut in one plane and tested on those cut in others."""


class Planes(Areas):
    """Macro-F1 on brains of another cutting plane than those of the training brains."""

    Config: ClassVar[type[TaskConfig]] = PlanesConfig
    measures: ClassVar[dict[str, str]] = MACRO_F1

    def why_absent(self, bench: Bench) -> str:
        """Say that there is no study, or that all its brains are cut in one plane."""
        if missing := super().why_absent(bench):
            return missing
        try:
            planes = cutting_planes(bench)
        except MissingStageError:
            return "the run has no study that says how its brains were cut"
        if len(set(planes.values())) < 2:
            return f"all annotated brains are cut in one plane ({', '.join(set(planes.values()))})"
        return "" if _trainings(bench) else "no training brain is annotated"

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Train on the annotated training brains of each plane, and score on all annotated brains of the others."""
        same_labels(bench.graphs)
        planes = cutting_planes(bench)
        found: list[Score] = []
        notes: list[str] = []
        for plane, train in _trainings(bench).items():
            test = sorted(brain for brain, own in planes.items() if own != plane)
            split = BrainSplit(kind="brain", train=sorted(train), test=test, validation=0.0)
            outcome = name_nodes(bench, encoded, bench.annotation, bench.graphs[0].labels, AREAS, split)
            side = f"{plane} to others"
            found += [Score(s.target, side, s.measure, s.value, s.level, s.repeat) for s in outcome.scores]
            notes += [f"planes, {side}: {note}" for note in outcome.notes]
        return Outcome(found, notes=tuple(notes))


def cutting_planes(bench: Bench) -> dict[str, str]:
    """Return the plane in which each annotated brain was cut: "sagittal", "coronal" or "axial".

    Raises
    ------
    MissingStageError
        If the run has no study, as imported ones.
    """
    study = open_study(read_study_path(bench.run))
    annotated = set(np.unique(bench.brains[bench.annotation > 0]).tolist())
    return {brain.id: _plane(brain) for brain in study.brains if brain.id in annotated}


def _plane(brain: Brain) -> str:
    normals = Counter(AXES[int(np.abs(section.plane.normal).argmax())] for section in brain.sections)
    return normals.most_common(1)[0][0]


def _trainings(bench: Bench) -> dict[str, list[str]]:
    """Return the annotated training brains of each plane that has some."""
    roles = {graph.brain: graph.brain_role for graph in bench.graphs}
    found: dict[str, list[str]] = {}
    for brain, plane in cutting_planes(bench).items():
        if roles[brain] == "train":
            found.setdefault(plane, []).append(brain)
    return found
