"""Areas from real BigBrain profiles, 10k nodes, left hemisphere to right, without coordinates: all models.

The references are those of the data's README (same nodes, features, areas and split); every label was transferred by
registration, so read F1 as relative. Settings were chosen on the left hemisphere (`benchmarks.classify.choose`). Rows
with `proportions` take each area to have on the right the share of nodes that it has on the left: the right's inputs
are read for it, its labels are not. Rows with `surroundings` are conditional random fields: areas lie around each other
as on the left. The spin null rotates the labels on the sphere; a wide context tells location, too, and the null says
what location alone is worth.
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
    "yeo7": {"linear": 0.384, "neighbour_lda": 0.569},
}
FIELD, SPINS = "crf={hops: [3, 6, 10], weight: 6}", "null.spins=20"
MODELS = {  # row -> (settings, overrides)
    "linear": ("linear", []),
    "mlp": ("mlp", []),
    "gat": ("gat", []),
    "neighbour_lda": ("neighbour_lda", []),
    "disc_lda": ("disc_lda", [SPINS]),
    "disc_lda, proportions": ("disc_lda", ["label_shift=training", SPINS]),
    "disc_lda, surroundings": ("disc_lda", [FIELD, SPINS]),
    "disc_lda, surroundings, proportions": ("disc_lda", [FIELD, "label_shift=training", SPINS]),
    "disc_gat": ("disc_gat", ["crf.hops=[]", "label_shift=free"]),
    "disc_gat, proportions": ("disc_gat", ["crf.hops=[]"]),
    "disc_gat, surroundings": ("disc_gat", ["label_shift=free"]),
    "disc_gat, surroundings, proportions": ("disc_gat", []),
}
QUICK = ("linear", "neighbour_lda", "disc_lda, proportions")
COLUMNS = ("labels, model", "areas", "seeds", "macro-F1 L->R", "SD", "null", "null SD", "reference", "seconds")


def measure(options: Options) -> Result:
    """Classify with each model; the quick form takes the linear ones on economo, without null."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    for key in ("economo",) if options.quick else ("economo", "julich26", "yeo7"):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(bigbrain, "10k", key, run)
            rows += [_row(run, key, model, options.quick) for model in (QUICK if options.quick else MODELS)]
    scores = {row[0]: row[3] for row in rows}
    best = max(scores, key=lambda name: scores[name] if name.startswith("economo") else -1.0)
    gain = scores[best] - REFERENCES["economo"]["neighbour_lda"]
    claim = (
        f"best on economo: {best.removeprefix('economo, ')}, {scores[best]:.3f}, {gain:+.3f} over neighbour means + LDA"
    )
    return Result("BigBrain 10k nodes: areas from profiles and layer thickness", COLUMNS, rows, claim)


def _row(run: Path, key: str, model: str, is_quick: bool) -> list[Any]:
    preset, overrides = MODELS[model]
    overrides = [*overrides, "null.spins=0"] if is_quick else overrides
    settings = load_config(ClassifyConfig, CONFIGS / f"bigbrain_{preset}.yaml", overrides)
    summary = classify_run(run, model.replace(",", "").replace(" ", "-"), settings)
    return [
        f"{key}, {model}",
        summary["n_classes"],
        settings.n_seeds if settings.model.kind in ("mlp", "gat") else 1,
        summary["macro_f1_test"],
        summary.get("macro_f1_test_sd", 0.0),
        summary.get("null_test", "-"),
        summary.get("null_test_sd", "-"),
        REFERENCES[key].get(model, "-"),
        summary["seconds"],
    ]


if __name__ == "__main__":
    main(measure, __doc__)
