"""What each objective's features are worth on the phantom: four classifiers on seen, transfer and unseen brains.

Claim: SpatialNCE and probability-guided learning beat SimCLR and untrained weights on seen and on unseen brains, by a
linear probe. All train the same encoder on the same patches with the same optimiser; probe settings and steps are those
of the demo, and no test label takes part in any choice. `--run` names a run directory with the phantom's graphs, such
as a copy of the demo's: encoders and scores are added to it, and those that are there already are kept. Without it, the
phantom of the demo is made (of the tiny one with --quick, which shows that it runs).
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.parallel import available_cpus
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.write import write_phantom
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run

SPLITS = ("seen", "transfer", "unseen")
# Batches of 256 images for all: two views need half the patches.
TWO_VIEWS = ("views=2", "sampling.neighbours=0", "sampling.seeds_per_batch=128")
ONE_VIEW = ("sampling.neighbours=0", "sampling.seeds_per_batch=256")
LABELLED = (*ONE_VIEW, "sampling.annotated_only=true")
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "untrained": ("schedule.steps=0", "schedule.warmup_steps=0"),
    "SimCLR": ("objectives={simclr: {temperature: 0.1}}", *TWO_VIEWS),
    "SpatialNCE, Euclidean": (),
    "SpatialNCE, geodesic": ("objectives.spatial_nce.distance=geodesic",),
    "probability-guided": ("objectives={probability_guided: {temperature: 0.1}}", *ONE_VIEW),
    "supervised contrastive": ("objectives={supervised_contrastive: {temperature: 0.1}}", *LABELLED),
    "supervised": ("objectives={supervised: {}}", *LABELLED),
}
BETTER, WORSE = ("SpatialNCE, Euclidean", "SpatialNCE, geodesic", "probability-guided"), ("SimCLR", "untrained")
CLASSIFIERS = {"linear": "linear", "MLP": "mlp", "GAT": "gat", "GNN+": "gat_plus"}
PROBE = "linear"


@contextmanager
def grid_run(options: Options, size: str) -> Iterator[Path]:
    """Yield the run directory given, or one with a phantom made for the occasion."""
    if options.run is not None:
        yield options.run
        return
    with tempfile.TemporaryDirectory() as folder:
        run, study = Path(folder) / "run", Path(folder) / "study"
        write_phantom(study, load_config(PhantomConfig, preset("phantom", size)))
        build_graphs(study / "study.yaml", run, load_config(BuildGraphConfig, preset("build-graph", size)))
        yield run


def score(run: Path, size: str, objective: str, seed: int, shorter: tuple[str, ...]) -> dict[str, Any]:
    """Pretrain, embed and classify with one seed: steps, training seconds, and scores by classifier and side."""
    encoder = f"{objective}-{seed}".replace(" ", "_").replace(",", "")
    changes = [*shorter, *OBJECTIVES[objective], f"seed={seed}", "threads=1"]
    settings = load_config(PretrainConfig, preset("pretrain", size), changes)
    facts: dict[str, Any] = {"steps": settings.schedule.steps}
    facts["seconds"] = pretrain_run(run, encoder, settings)["seconds"]
    embed_run(run, encoder, EmbedConfig())
    for classifier, file in CLASSIFIERS.items():
        probe = load_config(ClassifyConfig, preset("classify", file))
        names = [f"features:{encoder}" if name == "features" else name for name in probe.inputs.names]
        probe = probe.model_copy(update={"inputs": probe.inputs.model_copy(update={"names": names})})
        probe = probe.model_copy(update={"n_seeds": 1, "seed": seed})
        summary = classify_run(run, f"{encoder}-{file}", probe)
        facts[classifier] = [summary[f"macro_f1_{side}"] for side in SPLITS]
    return facts


def measure(options: Options) -> Result:
    """Score every objective; the full form takes three seeds, the quick one a single seed and 60 steps."""
    seeds = (0,) if options.quick else (0, 1, 2)
    size = "tiny" if options.quick and options.run is None else "demo"
    shorter = ("schedule.steps=60", "schedule.warmup_steps=15") if options.quick else ()
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes below: one training a processor
    with (
        grid_run(options, size) as run,
        ProcessPoolExecutor(available_cpus(), multiprocessing.get_context("spawn")) as processes,
    ):
        waiting = {
            name: [processes.submit(score, run, size, name, seed, shorter) for seed in seeds] for name in OBJECTIVES
        }
        found = {name: [future.result() for future in futures] for name, futures in waiting.items()}
    rows: list[list[Any]] = []
    for name, runs in found.items():
        for classifier in CLASSIFIERS:
            values = np.array([facts[classifier] for facts in runs])
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(axis=0), values.std(axis=0), strict=True)]
            rows.append([name, classifier, *cells, len(runs), runs[0]["steps"], np.mean([f["seconds"] for f in runs])])
    probed = {name: np.mean([facts[PROBE] for facts in runs], axis=0) for name, runs in found.items()}
    verdicts = []
    for better in BETTER:
        for worse in WORSE:
            wins = all(probed[better][i] > probed[worse][i] for i in (SPLITS.index("seen"), SPLITS.index("unseen")))
            verdicts.append(f"{better} {'beats' if wins else 'does NOT beat'} {worse}")
    columns = ("encoder", "classifier", *SPLITS, "seeds", "steps", "training s")
    title = f"Phantom ({size}): macro-F1, mean and SD over seeds"
    return Result(title, columns, rows, "; ".join(verdicts), {"scores": found})


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
