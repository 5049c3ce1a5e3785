"""Every brain named once by models that learnt from the others: `python -m benchmarks.classify.brains --run RUN`.

RUN: a run with features `spatialnce` and probability maps of several annotated brains, such as a copy of the demo's; it
is registered to the mean of its brains if it has no registration "study". Rows: the prior alone, features by a linear
model, LDA of growing surroundings and graph attention, each without and with the prior's vote, and GNN+ (features,
probability maps, coordinates). Inputs are standardised brain by brain; networks are trained once. Without `--run` the
phantom of the demo is made (of the tiny one with --quick), which takes long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import Options, Result, main
from benchmarks.pretrain.phantom_grid import grid_run
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.folds import folds_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.core.run import product_folders
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run
from cytomesh.register.config import RegisterConfig
from cytomesh.register.run import register_run

REGISTRATION, ENCODER = "study", "spatialnce"
FEATURES, ATLAS = f"inputs.names=[features:{ENCODER}]", f"inputs.names=[features:{ENCODER}, pmap, coordinates]"
BY_BRAIN = "inputs.standardise=graph"
ALONE, NO_PRIOR = "prior.image_weight=0", "prior.vote=false"
MODELS: dict[str, tuple[str, list[str]]] = {
    "prior alone": ("linear", [FEATURES, ALONE]),
    "features, linear": ("linear", [FEATURES, BY_BRAIN, NO_PRIOR]),
    "features, linear + prior": ("linear", [FEATURES, BY_BRAIN]),
    "features, LDA of surroundings": ("neighbour_lda", [FEATURES, BY_BRAIN, NO_PRIOR]),
    "features, LDA of surroundings + prior": ("neighbour_lda", [FEATURES, BY_BRAIN]),
    "features, GAT": ("gat", [FEATURES, BY_BRAIN, NO_PRIOR]),
    "features, GAT + prior": ("gat", [FEATURES, BY_BRAIN]),
    "GNN+": ("gat_plus", [ATLAS, BY_BRAIN, NO_PRIOR]),
    "GNN+ and prior": ("gat_plus", [ATLAS, BY_BRAIN]),
}
QUICK = ("prior alone", "features, linear", "features, linear + prior")


def measure(options: Options) -> Result:
    """Classify with each model; the quick form takes the linear ones."""
    with registered_run(options) as run:
        rows = [_row(run, row, *model) for row, model in MODELS.items() if not options.quick or row in QUICK]
        names = [graph.name for graph in product_folders(run, "graphs")]
    best = max(rows, key=lambda row: float(row[-4]))
    claim = f"best: {best[0]}, {best[-4]:.3f}, {best[-3]:+.3f} over the prior on average, {best[-2]:+.3f} at least"
    columns = ("model", *names, "mean", "over prior", "at least", "seconds")
    return Result("Every brain once, learnt from the others: macro-F1", columns, rows, claim)


@contextmanager
def registered_run(options: Options) -> Iterator[Path]:
    """Yield the run that options name, or a new one, with features and a registration."""
    size = "tiny" if options.quick and options.run is None else "demo"
    with grid_run(options, size) as run:
        if ENCODER not in {folder.name for folder in product_folders(run, "features")}:
            pretrain_run(run, ENCODER, load_config(PretrainConfig, preset("pretrain", size)))
            embed_run(run, ENCODER, EmbedConfig())
        settings = RegisterConfig(template="study", spheres="made")
        register_run(run, REGISTRATION, settings, workers=1, allow_stale=True)
        yield run


def _row(run: Path, row: str, name: str, changes: list[str]) -> list[Any]:
    place = f"brains-{row}".translate(str.maketrans({" ": "-", ",": None, "+": "and"}))
    settings = load_config(ClassifyConfig, preset("classify", name), [f"prior.registration={REGISTRATION}", *changes])
    settings = settings.model_copy(update={"n_seeds": 1})
    found = folds_run(run, place, settings, allow_stale=True)
    numbers = range(1, found["n_folds"] + 1)
    tests = [read_json(run / "classify" / place / f"fold-{i}" / "metrics.json")["splits"]["test"] for i in numbers]
    beyond = [test["beyond_prior"]["difference"] for test in tests]
    scores = [test["mean"]["macro_f1"] for test in tests]
    return [row, *scores, found["macro_f1"], float(np.mean(beyond)), min(beyond), found["seconds"]]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__, takes_run=True)
