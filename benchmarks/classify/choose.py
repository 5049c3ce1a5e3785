"""Choose settings on BigBrain's left hemisphere, by blocks.

No label of the right hemisphere is read but for the protocol's list of areas (20 nodes in each hemisphere).
The left cortex is cut into 40 compact blocks, dealt to five folds; a fold's blocks are predicted from the others, less
a margin of three hops, by a model with each of the candidate settings. Scores are macro-F1 of all held-out
predictions together, over nodes whose area has training nodes in their fold, for two ways to cut. Means over large
discs reach across margins: a training node's inputs know the held-out block's tissue, never its labels. Blocks do not
show what differs between hemispheres, and scores hardly depend on shrinkage: of settings within one standard error
of the best, the most regularised is taken (Breiman et al. 1984), which is 0.02 on both label sets, and weight 1 of LDA
beside the GAT. Surroundings of weight 6 are best over both label sets, with and without proportions; they are learnt in
each fold from its training nodes, and applied to the predictions of all folds together.

`python -m benchmarks.classify.choose [--quick] [--data DIR] [--json FILE]`
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bigbrain.nodes import write_run
from benchmarks.classify.blocks import fold_masks
from benchmarks.common import Options, Result, main
from cytomesh.classify.assemble import with_split
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.inputs import NodeInputs, prepare_inputs
from cytomesh.classify.mean_field import CrfConfig, MeanFieldCrf
from cytomesh.classify.models import make_classifier
from cytomesh.classify.splits import NodeSplit
from cytomesh.core.config import load_config
from cytomesh.core.learning import macro_f1
from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import Floats
from cytomesh.graph.storage import CortexGraph, load_graphs

BLOCKS, FOLDS, MARGIN = 40, 5, 3
CUTS = 2
WALK = "inputs={names: [features], standardise: graph, hops: [0, 1, 3, 6, 10, 20, 40]}"
DISC = "inputs={names: [features], standardise: graph, neighbourhood: disc, hops: [0, 1, 3, 6, 10, 20, 30, 40, 50]}"
NEAR = "inputs={names: [features], standardise: graph, neighbourhood: disc, hops: [0, 1, 3, 6, 10]}"
CANDIDATES: dict[str, list[str]] = {
    "LDA 0.05, walks to 40 hops": [WALK, "model={kind: lda, shrinkage: 0.05}"],
    "LDA 0.02, discs to 10 hops": [NEAR, "model={kind: lda, shrinkage: 0.02}"],
    **{
        f"LDA {shrinkage}, discs to 50 hops": [DISC, f"model={{kind: lda, shrinkage: {shrinkage}}}"]
        for shrinkage in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
    },
    "LDA 0.02, discs, proportions": [DISC, "model={kind: lda, shrinkage: 0.02}", "label_shift=training"],
    **{
        f"LDA 0.02, discs, surroundings {weight}{end}": [
            DISC,
            "model={kind: lda, shrinkage: 0.02}",
            f"crf={{hops: [3, 6, 10], weight: {weight}}}",
            *overrides,
        ]
        for weight in (1, 3, 6, 10)
        for end, overrides in (("", []), (", proportions", ["label_shift=training"]))
    },
    "GAT, discs": [
        DISC,
        "model={kind: gat}",
        "training={epochs: 120, label_smoothing: 0.1}",
    ],
    **{
        f"LDA 0.02 x GAT, weight {weight}, proportions": [
            DISC,
            "model={kind: gat, dropout: 0, input_dropout: 0, attention_dropout: 0, "
            f"discriminant: {{shrinkage: 0.02, weight: {weight}}}}}",
            "training={epochs: 60, learning_rate: 0.01, noise: 0.6, label_smoothing: 0.1}",
            "label_shift=training",
        ]
        for weight in (0.1, 0.33, 1)
    },
}


def measure(options: Options) -> Result:
    """Score every candidate on economo and julich26; the quick form scores linear ones on economo, cut one way."""
    torch.set_num_threads(1)
    rows: list[list[Any]] = []
    for key in ("economo",) if options.quick else ("economo", "julich26"):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(options.bigbrain(), "10k", key, run)
            graph = next(graph for graph in load_graphs(run) if graph.hemisphere == "L")
            prepared: dict[str, NodeInputs] = {}
            for name, overrides in CANDIDATES.items():
                settings = load_config(ClassifyConfig, None, overrides)
                if options.quick and settings.model.kind != "lda":
                    continue
                start = time.perf_counter()
                if overrides[0] not in prepared:
                    everything = [np.ones(graph.n_nodes, bool)]  # standardised by graph: no use is made of it
                    prepared[overrides[0]] = prepare_inputs(run, [graph], everything, settings.inputs)
                found = [
                    held_out_score(graph, prepared[overrides[0]], settings, cut)
                    for cut in range(1 if options.quick else CUTS)
                ]
                rows.append([f"{key}, {name}", float(np.mean(found)), *_padded(found), time.perf_counter() - start])
    columns = ("labels, settings", "macro-F1", *(f"cut {cut + 1}" for cut in range(CUTS)), "seconds")
    best = {key: max((row for row in rows if row[0].startswith(key)), key=lambda row: row[1]) for key in _keys(rows)}
    claim = "; ".join(f"best on {row[0]} ({row[1]:.3f})" for row in best.values())
    title = f"BigBrain's left hemisphere by blocks: {BLOCKS} blocks, {FOLDS} folds, margin {MARGIN} hops"
    return Result(title, columns, rows, claim)


def held_out_score(graph: CortexGraph, inputs: NodeInputs, settings: ClassifyConfig, cut: int) -> float:
    """Return macro-F1 of all held-out predictions of one way to cut the cortex."""
    labels = graph.annotation
    classes, shares = _shares(labels)
    alone = settings.model_copy(update={"crf": CrfConfig(), "label_shift": "free"})
    folds = []
    held_out = np.zeros((graph.n_nodes, classes.size), np.float32)
    unlabelled = labels == 0
    for train, test in fold_masks(graph.adjacency, labels > 0, BLOCKS, FOLDS, MARGIN, generator(cut, "choose")):
        split = NodeSplit([np.where(train, "train", np.where(test, "test", ""))], ())
        data = with_split(inputs, [graph], [labels], split)
        model = make_classifier(alone, data.inputs.shape[1], data.classes.size, torch.device("cpu"))
        model.fit(data, settings.seed)
        columns, found = np.searchsorted(classes, data.classes), model.probabilities(data)
        held_out[np.ix_(test, columns)] = found[test]
        held_out[np.ix_(unlabelled, columns)] += found[unlabelled] / FOLDS
        folds.append((model, data, columns, test))
    scores, is_scored = held_out.copy(), np.zeros(graph.n_nodes, bool)
    for model, data, columns, test in folds:
        # the whole hemisphere is predicted, in parts, before areas are arranged: what the other hemisphere will be
        arranged = MeanFieldCrf(model, settings.crf, keep_shares=settings.label_shift == "training")
        arranged.learn(data)
        arranged.shares = shares[columns] / shares[columns].sum()
        nowhere = replace(data, sides=np.full(graph.n_nodes, ""))
        scores[np.ix_(test, columns)] = arranged.arrange(held_out[:, columns], nowhere)[test]
        is_scored |= test & np.isin(labels, data.classes)
    return _macro_f1(np.searchsorted(classes, labels), scores, is_scored)


def _macro_f1(targets: np.ndarray[Any, Any], probabilities: Floats, rows: np.ndarray[Any, Any]) -> float:
    return macro_f1(targets[rows], probabilities[rows].argmax(axis=1))


def _shares(labels: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    classes, counts = np.unique(labels[labels > 0], return_counts=True)
    return classes, counts / counts.sum()


def _padded(values: list[float]) -> list[float | str]:
    return [*values, *["-"] * (CUTS - len(values))]


def _keys(rows: list[list[Any]]) -> list[str]:
    return list(dict.fromkeys(row[0].split(",")[0] for row in rows))


if __name__ == "__main__":
    main(measure, __doc__)
