"""Layers of the demo phantom: `python -m benchmarks.analyze.layers_phantom --run RUN`.

`cytomesh segment-layers` with the settings of the demo on a finished demo run (made where none is given): the decoder
on the SpatialNCE encoder beside the same on an untrained one, linear discriminants of intensity profiles, and depth
alone; sections of training brains that were left out (seen), a brain whose images only pretraining saw (transfer), and
one that nothing has seen (unseen). Every sixth section of each side is learnt from and scored. A seed is that of the
decoders and, where the run has encoders `spatialnce-<seed>` and `untrained-<seed>`, of the encoders; phantom, and
sections, stay.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Options, Result, main
from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.run import layers_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.demo import DemoConfig, demo_run

N_SEEDS = 3
ENCODERS = ("spatialnce", "untrained")
SIDES = ("seen", "transfer", "unseen")
COLUMNS = (
    "method, side",
    "macro-F1",
    "SD over seeds",
    "without order",
    "boundary um",
    "Hausdorff 95 % um",
    "thickness um",
)


def measure(options: Options) -> Result:
    """Segment with each seed; the quick form takes one seed and 60 steps."""
    if options.run is None:
        with tempfile.TemporaryDirectory() as name:
            demo_run(Path(name) / "demo", DemoConfig())
            return _measure(Path(name) / "demo", options.quick)
    return _measure(options.run, options.quick)


def _measure(run: Path, quick: bool) -> Result:
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(1 if quick else N_SEEDS):
        for method, sides in segmented(run, seed, quick).items():
            for side in SIDES:
                found.setdefault(f"{method}, {side}", []).append(sides[side])
    rows = [[name, *_numbers(scores)] for name, scores in found.items()]
    scores = {row[0]: row[1] for row in rows}
    parts = [
        f"{side} {scores[f'spatialnce, {side}']:.3f} against {scores[f'untrained, {side}']:.3f} untrained, "
        f"{scores[f'profiles, {side}']:.3f} profiles"
        for side in SIDES
    ]
    per_layer = {name: np.mean([score["f1"] for score in each], axis=0).tolist() for name, each in found.items()}
    claim = f"macro-F1 over six layers: {'; '.join(parts)}"
    return Result("Layers of the demo phantom", COLUMNS, rows, claim, {"f1 per layer": per_layer})


def segmented(run: Path, seed: int, quick: bool) -> dict[str, Any]:
    """Return the scores of one seed by method and side."""
    own = {kind: f"{kind}-{seed}" for kind in ENCODERS}
    there = all((run / "encoders" / name / "model.safetensors").is_file() for name in own.values())
    encoders = own if there else {kind: kind for kind in ENCODERS}
    overrides = [f"seed={seed}", "every=6", f"encoders={json.dumps(list(encoders.values()))}"]
    overrides.append(f"training.steps={60 if quick else 150}")
    settings = load_config(LayersConfig, preset("segment-layers", "demo"), overrides)
    layers_run(run, f"layers-{seed}", settings, allow_stale=True)
    methods = read_json(run / "analyze" / f"layers-{seed}" / "metrics.json")["methods"]
    kinds = {name: kind for kind, name in encoders.items()}
    return {kinds.get(method, method): sides for method, sides in methods.items()}


def _numbers(scores: list[dict[str, Any]]) -> list[float]:
    f1 = np.array([score["macro_f1"] for score in scores])
    raw = [score.get("macro_f1_unordered", np.nan) for score in scores]
    means = [np.mean([score[key] for score in scores]) for key in ("boundary_um", "hausdorff95_um")]
    thickness = 1000 * np.mean([score["thickness"]["error_mm"] for score in scores])
    sd = float(f1.std(ddof=1)) if len(f1) > 1 else 0.0
    return [float(f1.mean()), sd, float(np.mean(raw)), *map(float, means), float(thickness)]


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
