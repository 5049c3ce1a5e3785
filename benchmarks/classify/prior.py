"""What images add to registered areas on BigBrain: `python -m benchmarks.classify.prior`.

10k nodes, economo, julich26 and yeo7, left to right and right to left: the prior alone (the other hemisphere's areas,
brought over by folding to the mean of both), with plain multi-scale LDA, with LDA of wide discs, these with the areas
around and their proportions, and left to right with graph attention on the discs (three seeds). Null: the labels
rotated on the sphere, 20 times, for the prior alone. Interval: the paired difference to the prior over 42 blocks of
cortex drawn with replacement (these nodes have no sections).

Nothing is chosen on the tested side: the smoothing and the weight of images come from the labelled side by blocks (see
`cytomesh.classify.prior`), the models' settings are those of `benchmarks.bigbrain.areas`. Labels of both sides have
been looked at in earlier work, and were made by registration: they flatter geometry.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from benchmarks.bigbrain.nodes import write_run
from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.evaluation import beyond_prior, section_draws
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.core.tables import read_table
from cytomesh.register.config import RegisterConfig
from cytomesh.register.run import register_run
from cytomesh.register.spherical import icosphere
from cytomesh.surface.gifti import read_sphere

LABELS = ("economo", "julich26", "yeo7")
SIDES = {"L -> R": ("L", "R"), "R -> L": ("R", "L")}
REGISTRATION = "study"
SPINS = "null.spins=20"
ALONE = "prior.image_weight=0"
FIELD = "crf={hops: [3, 6, 10], weight: 6}"
MODELS: dict[str, tuple[str, list[str]]] = {  # row -> (preset, changes)
    "prior alone": ("bigbrain_neighbour_lda", [ALONE, SPINS]),
    "prior + LDA": ("bigbrain_neighbour_lda", []),
    "prior + LDA of discs": ("bigbrain_disc_lda", []),
    "prior + LDA of discs, surroundings, proportions": ("bigbrain_disc_lda", [FIELD, "label_shift=training"]),
    "prior + GAT on discs": ("bigbrain_disc_gat", ["crf.hops=[]", "label_shift=free", "n_seeds=3"]),
}
LONG = ("prior + GAT on discs",)
"""Left to right only."""
COLUMNS = ("model", "above null", "SDs", "macro-F1", "SD", "weight", "seconds", "95 %", "over prior")
QUICK = ("prior alone", "prior + LDA")


def measure(options: Options) -> Result:
    """Classify with each model, both ways; the quick form takes two models on economo, and one spin."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    for key in LABELS[: 1 if options.quick else None]:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(bigbrain, "10k", key, run)
            register_run(run, REGISTRATION, RegisterConfig(template="study", spheres="made"), workers=1)
            for direction, (train, test) in SIDES.items():
                for model in QUICK if options.quick else MODELS:
                    if model in LONG and train == "R":
                        continue
                    numbers = _row(run, model, train, test, quick=options.quick)
                    rows.append([f"{key}, {direction}, {model}", *numbers])
    gains = [row[-1] for row in rows if not row[0].endswith("alone")]
    claim = f"images over the prior: {np.mean(gains):+.3f} on average, {min(gains):+.3f} to {max(gains):+.3f}"
    return Result("BigBrain 10k: registered areas, and what images add", COLUMNS, rows, claim)


def _row(run: Path, model: str, train: str, test: str, *, quick: bool) -> list[Any]:
    name, changes = MODELS[model]
    split = f"split={{kind: hemisphere, train: [{train}], test: [{test}], validation: 0}}"
    few = ["null.spins=2"] if quick else []
    changes = [f"prior.registration={REGISTRATION}", split, *changes, *few]
    settings = load_config(ClassifyConfig, preset("classify", name), changes)
    place = f"{model}-{train}".translate(str.maketrans({" ": "-", ",": None, "+": "and"}))
    found = classify_run(run, place, settings)
    weight = read_json(run / "classify" / place / "metrics.json")["prior"]["image_weights"][0]
    score, null = found["macro_f1_test"], found.get("null_test")
    above = ["-", "-"] if null is None else [score - null, (score - null) / found["null_test_sd"]]
    low, high, difference = over_blocks(run, place, test)
    interval = f"{low:+.3f} to {high:+.3f}"
    return [*above, score, found.get("macro_f1_test_sd", 0.0), weight, found["seconds"], interval, difference]


def over_blocks(run: Path, place: str, side: str) -> tuple[float, float, float]:
    """Return the 95 % interval over blocks of the difference to the prior, and the difference."""
    graph = f"bigbrain_hemi-{side}"
    table = read_table(run / "classify" / place / "predictions" / f"{graph}.parquet")
    rows = np.asarray(table["side"]) == "test"
    truth, named, prior = (
        np.asarray(table[column], np.int64)[rows] for column in ("annotation", "area", "registered_area")
    )
    sphere = read_sphere(run / "register" / REGISTRATION / graph / "sphere.surf.gii", side).vertices[rows]
    blocks = cKDTree(icosphere(1).vertices).query(sphere / np.linalg.norm(sphere, axis=1, keepdims=True))[1]
    drawn = section_draws(blocks, 0)
    found = beyond_prior(drawn, truth, named, prior)
    return found["low"], found["high"], found["difference"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__)
