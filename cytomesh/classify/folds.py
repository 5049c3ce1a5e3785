"""K folds over brains: every annotated brain is the test brain once, learnt from the others."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_product
from cytomesh.classify.splits import BrainSplit
from cytomesh.core.errors import ConfigError, SplitError
from cytomesh.core.files import read_json, write_json, write_text
from cytomesh.core.learning import macro_f1
from cytomesh.core.progress import log
from cytomesh.core.random import generator
from cytomesh.core.reading import reading
from cytomesh.core.run import Product, check_name
from cytomesh.core.tables import read_table
from cytomesh.graph.storage import CortexGraph, load_graphs

NAMED = ("side", "annotation", "area")
SCORES = ("macro_f1", "balanced_accuracy", "accuracy", "top3")


def folds_run(
    run: Path,
    name: str,
    settings: ClassifyConfig,
    n_folds: int = 0,
    *,
    resume: bool = True,
    allow_stale: bool = False,
) -> dict[str, Any]:
    """Train and evaluate one classifier a fold; writes `classify/<name>/fold-<i>/`, `folds.json` and `folds.tsv`.

    Each fold is a run of `classify_run` by brains, 15 % of the training brains' nodes in blocks for validation; with
    `resume`, finished folds, and finished trainings of a stopped one, are kept.

    Parameters
    ----------
    run : Path
        Run directory, with graphs and the inputs.
    name : str
    settings : ClassifyConfig
        All but `split`.
    n_folds : int
        Folds that the annotated brains are dealt to by chance (of `settings.seed`); 0: one per brain.
    resume : bool

    Returns
    -------
    dict
        Scores over folds (of each, the mean over seeds), `<score>` and `<score>_sd`; macro_f1_pooled, of all test nodes
        together, by probabilities averaged over seeds; n_folds, n_brains, n_nodes, seconds.

    Raises
    ------
    SplitError
        If fewer than two brains are annotated, or fewer than there are folds.
    ConfigError
        If the settings have a split of their own.
    """
    if settings.split != ClassifyConfig().split:
        raise ConfigError("split", found=settings.split.kind, expected="none: folds are over brains")
    start = time.perf_counter()
    graphs = load_graphs(run)
    folds = brain_folds(graphs, n_folds, settings.seed)
    folder = run / "classify" / check_name(name)
    if (folder / "metrics.json").is_file() or (folder / "prediction.json").is_file():
        raise ConfigError("--name", name, found="a result of another kind with this name", hint="choose another --name")
    records: list[dict[str, Any]] = []
    pooled: list[NDArray[np.int32]] = []
    for number, test in enumerate(folds, 1):
        train = [brain for fold in folds if fold is not test for brain in fold]
        split = BrainSplit(kind="brain", train=sorted(train), test=test)
        log(f"{name}: fold {number} of {len(folds)}, tested on {', '.join(test)}")
        place = f"{name}/fold-{number}"
        own = settings.model_copy(update={"split": split})
        classify_product(Product(run, f"classify/{place}"), own, resume=resume, allow_stale=allow_stale)
        path = run / "classify" / place / "metrics.json"
        record = read_json(path)
        with reading(path):
            scores = record["splits"]["test"]
        means = {score: scores["mean"][score] for score in SCORES}
        records.append({"fold": number, "brains": test, "n_nodes": scores["n_nodes"], **means})
        pooled += [_named(run, place, graph) for graph in graphs if graph.brain in test]
    truth, predicted = np.concatenate(pooled, axis=1)
    areas = np.unique([truth, predicted])
    positions = [np.searchsorted(areas, labels).astype(np.int64) for labels in (truth, predicted)]
    summary: dict[str, Any] = {}
    for score in SCORES:
        values = [record[score] for record in records]
        summary |= {score: float(np.mean(values)), f"{score}_sd": float(np.std(values))}
    summary |= {
        "macro_f1_pooled": macro_f1(positions[0], positions[1]),
        "n_folds": len(folds),
        "n_brains": sum(map(len, folds)),
        "n_nodes": int(truth.size),
        "seconds": round(time.perf_counter() - start, 2),
    }
    write_text(folder / "folds.tsv", table(records, summary))
    write_json(folder / "folds.json", {"folds": records, "summary": summary, "settings": settings.model_dump()})
    return summary


def brain_folds(graphs: Sequence[CortexGraph], n_folds: int, seed: int) -> list[list[str]]:
    """Deal the annotated brains to folds whose sizes differ by one at most; 0 folds: each brain is one."""
    brains = sorted({graph.brain for graph in graphs if (graph.annotation > 0).any()})
    wanted = n_folds or len(brains)
    if len(brains) < 2 or not 2 <= wanted <= len(brains):
        found = f"{len(brains)} annotated brains for {wanted} folds"
        hint = "annotate sections of more brains, or ask for fewer folds, at least two"
        raise SplitError("folds", found=found, expected="two folds or more, and a brain in each", hint=hint)
    if not n_folds:
        return [[brain] for brain in brains]
    order = generator(seed, "folds").permutation(len(brains))
    return [sorted(brains[i] for i in order[fold::wanted]) for fold in range(wanted)]


def table(records: Sequence[dict[str, Any]], summary: dict[str, Any]) -> str:
    """Return the folds as tab-separated text; the last row is their mean +- SD."""
    lines = ["\t".join(["fold", "brains", "n_nodes", *SCORES])]
    for record in records:
        values = [f"{record[score]:.4f}" for score in SCORES]
        lines.append("\t".join([str(record["fold"]), ",".join(record["brains"]), str(record["n_nodes"]), *values]))
    values = [f"{summary[score]:.4f} ± {summary[f'{score}_sd']:.4f}" for score in SCORES]
    return "\n".join([*lines, "\t".join(["mean ± SD", "all", str(summary["n_nodes"]), *values]), ""])


def _named(run: Path, place: str, graph: CortexGraph) -> NDArray[np.int32]:
    """Return the true and the predicted area, (2, n), of a graph's test nodes that the fold was scored on."""
    named = read_table(run / "classify" / place / "predictions" / f"{graph.name}.parquet", needs=NAMED)
    is_tested = np.asarray(named["side"]) == "test"
    return np.stack([np.asarray(named[column], np.int32)[is_tested] for column in NAMED[1:]])
