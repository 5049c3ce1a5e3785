"""Encoders by one protocol, on the phantom and on BigBrain: `python -m benchmarks.analyze.evaluate [--run RUN]`.

Phantom (`--run`: a copy of the demo's run; without it, the tiny phantom with --quick, else the demo's, both
pretrained for the occasion): SpatialNCE against the untrained encoder, profiles and coordinates, by
`configs/evaluate/demo.yaml`. Further trainings of either encoder that the run has features of, `spatialnce-1`,
`untrained-1`, `spatialnce-2` and so on (other seeds), make means and SDs over trainings. BigBrain: profiles and layer
thickness of the 10k mesh, and the mean intensity alone, heads trained on the left hemisphere and scored on the right;
von Economo's areas are the graphs' annotation, the seven functional networks come as `.label.gii`. Settings are those
of the protocol: nothing is chosen on the right.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bigbrain.nodes import label_table, load_nodes, write_run
from benchmarks.common import MissingDataError, Options, Result, main
from benchmarks.pretrain.phantom_grid import grid_run
from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.run import evaluate_run
from cytomesh.analyze.profiles import ProfilesConfig, profiles_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.core.run import product_folders
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run
from cytomesh.surface.gifti import write_labels

COLUMNS = ("study, row of the table", "pretrained", "untrained / mean intensity", "profiles", "coordinates")
TRAINED, UNTRAINED = "spatialnce", "untrained"
ENCODERS = {
    "phantom": (TRAINED, UNTRAINED, "profiles", "coordinates"),
    "BigBrain": ("", "intensity", "profiles", "coordinates"),
}


def trainings(names: Iterable[str], encoder: str) -> list[str]:
    """Return the features of an encoder and of its trainings with other seeds ("spatialnce-1")."""
    return sorted(name for name in names if re.fullmatch(rf"{encoder}(-\d+)?", name))


def phantom(options: Options) -> dict[str, Any]:
    """Evaluate on the phantom; returns the table's rows, by encoder."""
    size = "tiny" if options.quick and options.run is None else "demo"
    with grid_run(options, size) as run:
        there = {folder.name for folder in product_folders(run, "features")}
        for name, changes in {TRAINED: [], UNTRAINED: ["schedule.steps=0"]}.items():
            if name not in there:
                pretrain_run(run, name, load_config(PretrainConfig, preset("pretrain", size), changes))
                embed_run(run, name, EmbedConfig())
        profiles_run(run, "profiles", load_config(ProfilesConfig, preset("profiles", size)))
        settings = load_config(EvaluateConfig, preset("evaluate", size))
        there = {folder.name for folder in product_folders(run, "features")}
        names = [*trainings(there, TRAINED), *trainings(there, UNTRAINED), "profiles"]
        found = evaluate_run(run, "benchmark", settings.model_copy(update={"encoders": names}))
        return {**found, "differences": read_json(run / "analyze" / "benchmark" / "metrics.json")["differences"]}


def bigbrain(data: Path, run: Path) -> dict[str, Any]:
    """Evaluate on BigBrain's nodes, left to right; returns the table's rows, by encoder."""
    write_run(data, "10k", "economo", run)
    table, files = label_table(data, "yeo7"), {}
    for graph in load_graphs(run):
        nodes = load_nodes(data, graph.hemisphere, "10k")
        labels = np.where(graph.is_linked & np.isin(nodes["yeo7"], table.indices), nodes["yeo7"], 0).astype(np.int32)
        files[graph.name] = run / f"{graph.hemisphere}.yeo7.label.gii"
        write_labels(files[graph.name], labels, table, graph.hemisphere)
        mean = np.where(graph.is_linked, nodes["profiles"].mean(axis=1), np.nan)
        save_features(run, "intensity", graph, mean[:, None].astype(np.float32), {})
    tasks = {
        "areas": {},
        "labels": {"of": {"yeo7": {"files": files}}},
        "variation": {"targets": ["thickness_mm", "curvature_per_mm"], "folds": {"kind": "hemisphere"}},
        "rejection": {},
        "few_shot": {},
    }
    split = {"kind": "hemisphere", "train": ["L"], "test": ["R"], "validation": 0.0}
    given = {"encoders": ["profiles", "intensity"], "tasks": tasks, "split": split}
    return evaluate_run(run, "benchmark", EvaluateConfig.model_validate(given))


def measure(options: Options) -> Result:
    """Evaluate on both; without its data, BigBrain is left out."""
    found = {"phantom": phantom(options)}
    apart = found["phantom"].pop("differences")
    try:
        with tempfile.TemporaryDirectory() as folder:
            found["BigBrain"] = bigbrain(options.bigbrain(), Path(folder) / "run")
    except MissingDataError:
        pass
    rows = [
        [f"{study}, {name}", *(_cell([row.get(own) for own in trainings(row, encoder)]) for encoder in ENCODERS[study])]
        for study, table in found.items()
        for name, row in table.items()
    ]
    gains = [
        f"{d['encoder']} over {d['other']}, {d['split']} {d['difference']:+.3f}"
        for d in apart
        if d["task"] == "areas" and d["encoder"].replace(TRAINED, UNTRAINED) == d["other"]
    ]
    claim = f"macro-F1 of areas on the phantom: {'; '.join(gains)}"
    return Result("Encoders by one protocol", COLUMNS, rows, claim, {"differences": apart})


def _cell(means: Sequence[float | None]) -> float | str:
    """Return the mean over trainings, with their SD where there are several."""
    known = [mean for mean in means if mean is not None]
    if len(known) < 2:
        return known[0] if known else "-"
    return f"{np.mean(known):.3f} ± {np.std(known, ddof=1):.3f} (n = {len(known)})"


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
