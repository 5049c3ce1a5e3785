"""A small ViT beside the CNN on the demo phantom: `python -m benchmarks.analyze.vit --run RUN`.

Trains the ViT of `configs/pretrain/demo_vit.yaml` by SpatialNCE, embeds all nodes with it, as it begins and trained,
and scores a linear probe (`configs/classify/linear.yaml`) on seen, transfer and unseen brains, beside the CNN of the
demo, trained and not. Then `cytomesh inspect` of both: how far areas and brains lie apart, and whether the nearest node
of another brain is the same cortex.

RUN is a finished `cytomesh demo`, or is made one (minutes); the ViT is added to it. Quick: the tiny phantom and 20
steps, which shows that everything runs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import Options, Result, main
from cytomesh.analyze.inspect.config import InspectConfig
from cytomesh.analyze.inspect.run import inspect_run
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.demo import DemoConfig, demo_run
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run

ENCODERS = {
    "CNN, untrained": "untrained",
    "ViT, untrained": "vit-untrained",
    "CNN, SpatialNCE": "spatialnce",
    "ViT, SpatialNCE": "vit",
}
SIDES = ("seen", "transfer", "unseen")


def train_vit(run: Path, quick: bool) -> None:
    """Add both ViTs and their features to a run of the demo; those that are there are kept."""
    smaller = ["patches={size_px: 32, um_per_px: 125.0, border_px: 2}", "sampling.seeds_per_batch=16"]
    short = [*smaller, "schedule.steps=20", "schedule.warmup_steps=5"] if quick else []
    for name, changes in (("vit", short), ("vit-untrained", [*short, "schedule.steps=0"])):
        pretrain_run(run, name, load_config(PretrainConfig, preset("pretrain", "demo_vit"), changes))
        embed_run(run, name, EmbedConfig())


def row(run: Path, title: str, features: str) -> list[Any]:
    """Return macro-F1 of the linear probe on each side, and what `inspect` says."""
    settings = load_config(ClassifyConfig, preset("classify", "linear"), [f"inputs.names=['features:{features}']"])
    scores = classify_run(run, f"linear-{features}", settings)
    look = {"features": features, "map": {"method": "pca", "n_nodes": 3000}, "examples": {"n_areas": 0}}
    found = inspect_run(run, f"inspect-{features}", InspectConfig.model_validate(look))
    f1 = [scores.get(f"macro_f1_{side}", float("nan")) for side in SIDES]
    apart = [found[f"{what}: accuracy"] for what in ("area", "brain")]
    across = [found[f"across brains: {key}"] for key in ("same_area", "distance_mm")]
    return [title, *f1, *apart, *across]


def measure(options: Options) -> Result:
    """Train where nothing is there yet, and score."""
    with tempfile.TemporaryDirectory() as name:
        run = options.run or Path(name) / "run"
        if not (run / "features" / "spatialnce").is_dir():
            demo_run(run, DemoConfig(size="tiny" if options.quick else "demo"))
        train_vit(run, options.quick)
        rows = [row(run, title, features) for title, features in ENCODERS.items()]
        seconds = {e: read_json(run / "encoders" / e / "provenance.json").get("seconds") for e in ("spatialnce", "vit")}
    columns = (
        "linear probe, macro-F1",
        *SIDES,
        "areas, probe",
        "brains, probe",
        "nearest across brains, same area",
        "mm away",
    )
    cnn, vit = (dict(zip(SIDES, rows[i][1:4], strict=True)) for i in (2, 3))
    claim = f"ViT against CNN, unseen brains: {vit['unseen']:.3f} against {cnn['unseen']:.3f}"
    return Result("A small ViT beside the CNN on the phantom", columns, rows, claim, {"seconds": seconds})


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
