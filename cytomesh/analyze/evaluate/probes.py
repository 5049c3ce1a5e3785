"""What features should rather not know: the section, the brain, the stain of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cytomesh.analyze.evaluate.heads import fitted
from cytomesh.analyze.evaluate.task import COORDINATES, Bench, Encoded, Labels, Outcome, Score, Task, TaskConfig
from cytomesh.analyze.folds import FoldsConfig, make_folds
from cytomesh.analyze.measures import unknown_column
from cytomesh.classify.linear import LdaModel
from cytomesh.core.errors import SplitError
from cytomesh.graph.provenance import ANNOTATION, FURTHER, LINKS, REFERENCE, SURFACE

SECTION, BRAIN = "section", "brain"
HEAD = LdaModel(kind="lda")
"""A linear head that is solved at once: there may be thousands of sections."""


class ProbesConfig(TaskConfig):
    """Accuracy of a linear head (shrinkage LDA) in telling where, and on what, a patch was cut; beside chance."""

    of: list[str] = Field(default=[SECTION, BRAIN], min_length=1)
    """`section` (of its brain; left out in turn: blocks of cortex, which sections cross), `brain`, or any node column
    of words or whole numbers, such as a stain (left out in turn: sections)."""
    n_folds: int = Field(default=5, ge=2, le=1000)
    """Parts that are left out in turn."""


class Probes(Task):
    """Accuracy on what was left out, and `chance`: that of guessing each answer as often as it occurs among the others.

    Heads are asked for what they were shown: nodes whose section is in no other block are passed over.
    """

    Config: ClassVar[type[TaskConfig]] = ProbesConfig
    parts: ClassVar[tuple[str, ...]] = (SURFACE, LINKS, REFERENCE, ANNOTATION, FURTHER)
    protocol: ClassVar[tuple[str, ...]] = ("seed",)
    measures: ClassVar[dict[str, str]] = {"accuracy": "accuracy", "chance": "accuracy of chance"}

    def why_absent(self, bench: Bench) -> str:
        """Raise ConfigError if a column is not there, before any head is trained."""
        for target in self.settings.of:
            _answers(bench, target)
        return ""

    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Probe for each in turn."""
        found: list[Score] = []
        notes: list[str] = []
        for target in self.settings.of:
            labels, groups = _answers(bench, target)
            if missing := _why_not(bench, labels, groups):
                notes.append(f"probes: {target}: {missing}, left out")
                continue
            kind = "block" if target == SECTION else "section"
            try:
                fold = make_folds(bench.graphs, FoldsConfig(kind=kind, n=self.settings.n_folds), bench.settings.seed)
            except SplitError as error:
                notes.append(f"probes: {target}: {error.found} to leave out by {kind}, left out")
                continue
            found += _scores(encoded, labels, groups, fold, target, f"left-out {kind}s")
        return Outcome(found, notes=tuple(notes))


def _answers(bench: Bench, target: str) -> tuple[Labels, NDArray[np.str_]]:
    """Return the answer for each linked node, 1 and up, (n,) int32, and the group within which it is asked for."""
    everywhere = np.full(len(bench.sections), "")
    if target == SECTION:
        return np.where(bench.is_linked & (bench.sections >= 0), bench.sections + 1, 0).astype(np.int32), bench.brains
    if target == BRAIN:
        values = bench.brains
    else:
        for graph in bench.graphs:
            known = [name for name, column in graph.nodes.columns.items() if column.dtype.kind in "iubOU"]
            if target not in known:
                raise unknown_column(target, known, graph.name, "tasks.probes.of", "words or whole numbers")
        values = np.concatenate([np.asarray(graph.nodes[target]).astype(str) for graph in bench.graphs])
    _, number = np.unique(values, return_inverse=True)
    return np.where(bench.is_linked, number + 1, 0).astype(np.int32), everywhere


def _why_not(bench: Bench, labels: Labels, groups: NDArray[np.str_]) -> str:
    if (bench.sections[bench.is_linked] < 0).any():
        return "nodes have no sections"
    singles = [group for group in np.unique(groups) if len(np.unique(labels[(groups == group) & (labels > 0)])) < 2]
    return f"one answer for all nodes of {', '.join(filter(None, singles)) or 'the run'}" if singles else ""


def _scores(
    encoded: Encoded,
    labels: Labels,
    groups: NDArray[np.str_],
    fold: NDArray[np.int64],
    target: str,
    left_out: str,
) -> Sequence[Score]:
    """Return accuracy and chance of each fold, over nodes whose answer occurs in the others."""
    head = encoded.head if encoded.name == COORDINATES else HEAD
    found = []
    for repeat in np.unique(fold):
        hits, guessed, n = 0, 0.0, 0
        for group in np.unique(groups):
            here = (groups == group) & (labels > 0)
            is_train = here & (fold != repeat)
            known, counts = np.unique(labels[is_train], return_counts=True)
            rows = np.flatnonzero(here & (fold == repeat) & np.isin(labels, known))
            if not rows.size or known.size < 2:
                continue
            model = fitted(encoded, labels, is_train, 0, head)
            hits += int((model.predict(encoded.features[rows]) == labels[rows]).sum())
            guessed += float(counts[np.searchsorted(known, labels[rows])].sum() / counts.sum())
            n += rows.size
        if n:
            found.append(Score(target, left_out, "accuracy", hits / n, repeat=int(repeat)))
            found.append(Score(target, left_out, "chance", guessed / n, repeat=int(repeat)))
    return found
