"""Whether doubt betrays areas that were not learnt: `python -m benchmarks.classify.unknown [--run RUN]`.

A fifth of the areas is left out of the training, three times; rows are means over these. BigBrain, 10k nodes: von
Economo's areas, left to right, by LDA of growing surroundings. With `--run`, a run with features `spatialnce`, such as
a copy of the demo's: the same and graph attention on its sides. Known nodes turned away: at the threshold that turns
5 % of the validation nodes away (of the training nodes, where there are none).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bigbrain.nodes import write_run
from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.core.random import generator
from cytomesh.graph.storage import load_graphs

REPEATS, SHARE = 3, 0.2
BIGBRAIN = ["split={kind: hemisphere, train: [L], test: [R], validation: 0}"]
FEATURES = ["inputs.names=[features:spatialnce]", "inputs.standardise=graph", "n_seeds=1"]
SCORES = ("auroc", "left_out_rejected", "rejected", "right", "wrong")
COLUMNS = ("model, side, doubt", "AUROC", "left out: away", "known: away", "known: right", "known: wrong")


def measure(options: Options) -> Result:
    """Leave areas out, and score doubt; the quick form leaves them out once."""
    repeats = range(1 if options.quick else REPEATS)
    if options.run:
        rows = [row for name in ("neighbour_lda", "gat") for row in _rows(options.run, name, FEATURES, repeats)]
    else:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(options.bigbrain(), "10k", "economo", run)
            rows = _rows(run, "bigbrain_neighbour_lda", BIGBRAIN, repeats)
    best = max(rows, key=lambda row: float(row[1]))
    claim = f"best: {best[0]}, AUROC {best[1]:.3f} (0.5 is chance)"
    return Result("Areas that were left out of the training: what doubt says", COLUMNS, rows, claim)


def _rows(run: Path, name: str, changes: Sequence[str], repeats: Sequence[int]) -> list[list[Any]]:
    graphs = load_graphs(run)
    areas = np.unique(np.concatenate([graph.annotation for graph in graphs]))
    areas = areas[areas > 0]
    found: dict[tuple[str, str], list[list[float]]] = {}
    for repeat in repeats:
        random = generator(0, "left-out areas", repeat)
        chosen = random.choice(areas, round(SHARE * areas.size), replace=False)
        names = ", ".join(f"'{graphs[0].labels.name(int(label))}'" for label in chosen)
        settings = load_config(ClassifyConfig, preset("classify", name), [*changes, f"areas.leave_out=[{names}]"])
        place = f"unknown-{name}-{repeat}"
        classify_run(run, place, settings, allow_stale=True)
        for side, record in read_json(run / "classify" / place / "metrics.json")["unknown"].items():
            for doubt, scores in record["doubts"].items():
                found.setdefault((side, doubt), []).append([scores[key] for key in SCORES])
    return [[f"{name}, {side}, {doubt}", *np.mean(of, axis=0).tolist()] for (side, doubt), of in found.items()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__, takes_run=True)
