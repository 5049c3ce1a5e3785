"""What each objective's features are worth on the phantom: a linear probe on seen, transfer and unseen brains.

Claim: SpatialNCE and probability-guided learning beat SimCLR and untrained weights on seen and on unseen brains. All
train the same encoder on the same patches with the same optimiser; probe settings and steps are those of the demo, and
no test label takes part in any choice. `--run` names a run directory with the phantom's graphs, such as the demo's: it
is only read. Without it, the phantom of the demo is made (of the tiny one with --quick, which shows that it runs).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
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
    "untrained": ("schedule.steps=0",),
    "SimCLR": ("objectives={simclr: {temperature: 0.1}}", *TWO_VIEWS),
    "SpatialNCE, Euclidean": (),
    "SpatialNCE, geodesic": ("objectives.spatial_nce.distance=geodesic",),
    "probability-guided": ("objectives={probability_guided: {temperature: 0.1}}", *ONE_VIEW),
    "supervised contrastive": ("objectives={supervised_contrastive: {temperature: 0.1}}", *LABELLED),
    "supervised": ("objectives={supervised: {}}", *LABELLED),
}
BETTER, WORSE = ("SpatialNCE, Euclidean", "SpatialNCE, geodesic", "probability-guided"), ("SimCLR", "untrained")


@contextmanager
def grid_run(options: Options, size: str) -> Iterator[Path]:
    """Yield a run directory of its own with the graphs of --run, or of a phantom made for the occasion."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        if options.run is not None:
            run.mkdir()
            shutil.copy(options.run / "study.json", run)
            shutil.copytree(options.run / "graphs", run / "graphs")
        else:
            study = Path(folder) / "study"
            write_phantom(study, load_config(PhantomConfig, preset("phantom", size)))
            build_graphs(study / "study.yaml", run, load_config(BuildGraphConfig, preset("build-graph", size)))
        yield run


def measure(options: Options) -> Result:
    """Pretrain, embed and probe; the full form takes three seeds, the quick one a single seed and 60 steps."""
    seeds = (0,) if options.quick else (0, 1, 2)
    size = "tiny" if options.quick and options.run is None else "demo"
    shorter = ["schedule.steps=60", "schedule.warmup_steps=15"] if options.quick else []
    rows: list[list[Any]] = []
    scores: dict[str, dict[str, float]] = {}
    with grid_run(options, size) as run:
        for name, overrides in OBJECTIVES.items():
            found: dict[str, list[float]] = {split: [] for split in SPLITS}
            seconds = []
            for seed in seeds:
                encoder = f"{name}-{seed}".replace(" ", "_").replace(",", "")
                changes = [*shorter, *overrides, f"seed={seed}"]
                if name == "untrained":
                    changes.append("schedule.warmup_steps=0")
                settings = load_config(PretrainConfig, preset("pretrain", size), changes)
                seconds.append(pretrain_run(run, encoder, settings)["seconds"])
                embed_run(run, encoder, EmbedConfig())
                probe = load_config(
                    ClassifyConfig, preset("classify", "linear"), [f"inputs.names=['features:{encoder}']", "n_seeds=1"]
                )
                summary = classify_run(run, encoder, probe)
                for split in SPLITS:
                    found[split].append(summary[f"macro_f1_{split}"])
            scores[name] = {split: float(np.mean(values)) for split, values in found.items()}
            cells = [f"{np.mean(values):.3f} ± {np.std(values):.3f}" for values in found.values()]
            row = [name, *cells, len(seeds), settings.schedule.steps, float(np.mean(seconds))]
            rows.append(row)
            print("  ".join(map(str, row)), flush=True)
    verdicts = []
    for better in BETTER:
        for worse in WORSE:
            wins = all(scores[better][split] > scores[worse][split] for split in ("seen", "unseen"))
            verdicts.append(f"{better} {'beats' if wins else 'does NOT beat'} {worse}")
    columns = ("encoder", *SPLITS, "seeds", "steps", "training s")
    title = f"Phantom ({size}): macro-F1 of a linear probe, mean and SD over seeds"
    return Result(title, columns, rows, "; ".join(verdicts), {"scores": scores})


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
