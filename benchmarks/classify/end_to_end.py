"""What training the encoder end to end, through the graph, is worth on the phantom: against the frozen encoder.

A GAT on features of the encoder that was tuned jointly with a graph network, against the same GAT on features of the
frozen encoder, and of an encoder tuned without the graph, on as many patches a step; the last line has the differences.
All start from the demo's SpatialNCE encoder and end with embed and classify, as users do; the round that is exported is
chosen by validation sections.

`--run` names a run directory with the demo's graphs and encoder, such as a copy of the demo's: encoders and scores are
added to it, and those that are there already are kept. Without it, the phantom of the demo is made and an encoder
pretrained (the tiny one with --quick, which shows that it runs).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Options, Result, main
from benchmarks.pretrain.phantom_grid import SPLITS, grid_run
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.parallel import available_cpus
from cytomesh.finetune.config import FinetuneConfig
from cytomesh.finetune.run import finetune_run
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.export import WEIGHTS
from cytomesh.pretrain.run import pretrain_run

START = "spatialnce"
TUNING = ("validation_macro_f1_first", "validation_macro_f1", "seconds")
FROZEN, FLAT, JOINT = "frozen", "tuned without the graph", "tuned through the graph"
VARIANTS: dict[str, tuple[str, ...] | None] = {
    FROZEN: None,
    FLAT: ("model={kind: mlp, hidden: 128}", "sampling.seeds_per_batch=240", "sampling.neighbours=0"),
    JOINT: (),
}


@contextmanager
def start_run(options: Options, size: str) -> Iterator[Path]:
    """Yield a run directory with graphs, the pretrained encoder and its features."""
    with grid_run(options, size) as run:
        if not (run / "encoders" / START / WEIGHTS).is_file():
            pretrain_run(run, START, load_config(PretrainConfig, preset("pretrain", size)))
        embed_run(run, START, EmbedConfig())
        yield run


def score(run: Path, size: str, variant: str, seed: int) -> dict[str, Any]:
    """Tune, embed and classify with one seed."""
    changes, encoder = VARIANTS[variant], START
    facts: dict[str, Any] = {}
    if changes is not None:
        encoder = f"{variant}-{seed}".replace(" ", "_")
        changes = (*changes, f"seed={seed}", "threads=1")
        tuned = finetune_run(run, encoder, START, load_config(FinetuneConfig, preset("finetune", size), changes))
        facts = {key: tuned[key] for key in TUNING}
        embed_run(run, encoder, EmbedConfig())
    probe = load_config(
        ClassifyConfig, preset("classify", "gat"), [f"inputs.names=['features:{encoder}']", "n_seeds=1"]
    )
    summary = classify_run(run, f"{encoder}-gat-{seed}", probe.model_copy(update={"seed": seed}))
    return facts | {"scores": [summary[f"macro_f1_{side}"] for side in SPLITS]}


def measure(options: Options) -> Result:
    """Score every variant; the full form takes three seeds, the quick one a single seed."""
    seeds = (0,) if options.quick else (0, 1, 2)
    size = "tiny" if options.quick and options.run is None else "demo"
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes below: one training a processor
    with (
        start_run(options, size) as run,
        ProcessPoolExecutor(available_cpus(), multiprocessing.get_context("spawn")) as processes,
    ):
        waiting = [(name, processes.submit(score, run, size, name, seed)) for seed in seeds for name in VARIANTS]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
        for name, future in waiting:
            found[name].append(future.result())
    rows: list[list[Any]] = []
    for name, runs in found.items():
        values = np.array([facts["scores"] for facts in runs])
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(axis=0), values.std(axis=0), strict=True)]
        tuning = ["" if name == FROZEN else float(np.mean([facts[key] for facts in runs])) for key in TUNING]
        rows.append([name, *cells, *tuning])
    means = {name: np.mean([facts["scores"] for facts in runs], axis=0) for name, runs in found.items()}
    gains = []
    for other in (FROZEN, FLAT):
        differences = zip(SPLITS, means[JOINT] - means[other], strict=True)
        gains.append(f"{other} " + ", ".join(f"{split} {gain:+.3f}" for split, gain in differences))
    columns = ["encoder", *SPLITS, "validation, start", "validation, tuned", "tuning s"]
    title = f"End to end on the {size} phantom: macro-F1 of a GAT, {len(seeds)} seed(s)"
    return Result(title, columns, rows, "tuned through the graph, against " + "; against ".join(gains))


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
