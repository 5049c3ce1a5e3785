"""Areas from real BigBrain profiles, 10k nodes: left hemisphere to right, and the parcellation of both.

The references are those of the data's README (same nodes, features, areas and split); every label was transferred by
registration, so read F1 as relative.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.bigbrain.nodes import write_run
from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "classify"
REFERENCES = {
    "economo": {"linear": 0.227, "mlp": 0.301, "gat": 0.470, "neighbour_lda": 0.588},
    "julich26": {"linear": 0.167, "neighbour_lda": 0.507},
}
COLUMNS = ("labels, model", "areas", "seeds", "macro-F1 L->R", "SD", "reference", "ratio", "seconds")


def measure(options: Options) -> Result:
    """Classify with each model; the quick form takes economo, one seed and 60 epochs."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    for key in ("economo",) if options.quick else ("economo", "julich26"):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(bigbrain, "10k", key, run)
            rows += [_row(run, key, model, options.quick) for model in ("linear", "mlp", "gat", "neighbour_lda")]
    scores = {row[0]: row[3] for row in rows}
    gain = scores["economo, gat"] / scores["economo, linear"]
    claim = f"GAT over linear on economo: {gain:.2f}x; neighbour means + LDA remain ahead of a 3-layer GAT"
    if scores["economo, gat"] > scores["economo, neighbour_lda"]:
        claim = f"GAT over linear on economo: {gain:.2f}x; GAT is ahead of neighbour means + LDA"
    return Result("BigBrain 10k nodes: areas from profiles and layer thickness", COLUMNS, rows, claim)


def _row(run: Path, key: str, model: str, is_quick: bool) -> list[Any]:
    overrides = ["n_seeds=1", "training.epochs=60"] if is_quick else []
    settings = load_config(ClassifyConfig, CONFIGS / f"bigbrain_{model}.yaml", overrides)
    summary = classify_run(run, model, settings)
    score, reference = summary["macro_f1_test"], REFERENCES[key].get(model)
    return [
        f"{key}, {model}",
        summary["n_classes"],
        settings.n_seeds if model in ("mlp", "gat") else 1,
        score,
        summary["macro_f1_test_sd"],
        reference if reference is not None else "-",
        score / reference if reference is not None else "-",
        summary["seconds"],
    ]


if __name__ == "__main__":
    main(measure, __doc__)
