"""Classifiers on frozen features: names for nodes, and their scores side by side of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.evaluate.task import Bench, Encoded, Labels, Named, Outcome, Score
from cytomesh.classify.area_classifier import AreaClassifier
from cytomesh.classify.areas import area_adjacency, hop_distances
from cytomesh.classify.assemble import class_notes, class_targets, joined_adjacency, joined_positions
from cytomesh.classify.evaluation import EVALUATIONS, section_interval
from cytomesh.classify.kinds import classifier_kind
from cytomesh.classify.metrics import average, scores, tables
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.splits import TRAIN
from cytomesh.core.labels import LabelTable
from cytomesh.graph.neighbourhoods import Mask

UNCONNECTED = float("inf")


def fitted(encoded: Encoded, labels: Labels, is_train: Mask, seed: int, head: Any = None) -> AreaClassifier:
    """Fit a head on some nodes; features are standardised on them and clipped, as `cytomesh classify` does."""
    settings = encoded.head if head is None else head
    kind, more = settings.kind, settings.model_dump(exclude={"kind"})
    return AreaClassifier(kind, seed=seed, **more).fit(encoded.features[is_train], labels[is_train])


def seeds(bench: Bench, encoded: Encoded) -> list[int]:
    """Return the seeds of a head's trainings: one, if there is no chance in it."""
    n = bench.settings.n_seeds if classifier_kind(encoded.head).has_chance else 1
    return [bench.settings.seed + i for i in range(n)]


def evaluated_sides(data: NodeData) -> list[str]:
    """Return the sides of a split that hold nodes of trained areas."""
    return [side for side in EVALUATIONS if data.evaluated(side).any()]


def node_data(bench: Bench, labels: Labels, sides: NDArray[np.str_]) -> NodeData:
    """Return labels and sides as the scores of `cytomesh classify` want them, without inputs."""
    classes, targets = class_targets(labels, sides == TRAIN)
    sizes = np.array([graph.n_nodes for graph in bench.graphs], np.int64)
    nothing = np.zeros((len(labels), 0), np.float32)
    edges, places = joined_adjacency(bench.graphs), joined_positions(bench.graphs)
    return NodeData(nothing, targets, sides, edges, sizes, classes, places)


def name_nodes(
    bench: Bench, encoded: Encoded, labels: Labels, table: LabelTable, target: str, split: Any = None
) -> Outcome:
    """Train a head on one side of a split and score it on the others.

    Parameters
    ----------
    labels : (n,) int32
        0 for none, and at nodes without features.
    table : LabelTable
        Of the labels.
    target : str
        What they are, for the table of scores.
    split : Split, optional
        Another than the protocol's.

    Returns
    -------
    Outcome
        By side and training, all of `metrics.scores`; of the mean over trainings, the interval of macro-F1 from
        sections drawn with replacement (`macro_f1_low`, `macro_f1_high`), and the share of nodes (`error_share`) and
        their logit margin (`margin`) by the number of areas between the true and the given one.
    """
    data = node_data(bench, labels, bench.sides(labels, split))
    hops = hop_distances(area_adjacency(data))
    models = [fitted(encoded, labels, data.is_train, seed) for seed in seeds(bench, encoded)]
    found: list[Score] = []
    named = {}
    for side in evaluated_sides(data):
        rows = np.flatnonzero(data.evaluated(side))
        targets = data.targets[rows]
        probabilities = [model.predict_proba(encoded.features[rows]) for model in models]
        for repeat, own in enumerate(probabilities):
            measured = scores(targets, own, hops)
            found += [Score(target, side, name, value, repeat=repeat) for name, value in measured.items()]
        mean = average(probabilities)
        predicted, sections = mean.argmax(axis=1), bench.sections[rows]
        found += _by_distance(target, side, tables(targets, mean, hops, _names(table, data.classes)))
        interval = section_interval(sections, targets, predicted, data.classes.size, bench.settings.seed)
        if interval is not None:
            found += [Score(target, side, f"macro_f1_{end}", interval[end]) for end in ("low", "high")]
        named[target, side] = Named(sections, targets, predicted)
    return Outcome(found, named, class_notes(data, [labels], table))


def _names(table: LabelTable, classes: Labels) -> list[str]:
    return [table.name(int(label)) for label in classes]


def _by_distance(target: str, side: str, record: dict[str, Any]) -> Sequence[Score]:
    """Return the shares and margins of nodes by the number of areas between the true and the given one."""
    found = []
    for measure, name in (("error_share", "error_distance"), ("margin", "margin")):
        for hop, value in record[name].items():
            level = UNCONNECTED if hop == "unconnected" else float(hop)
            found.append(Score(target, side, measure, value, level))
    return found
