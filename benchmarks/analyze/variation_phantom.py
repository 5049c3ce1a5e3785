"""What features know of structure, on the demo phantom: `python -m benchmarks.analyze.variation_phantom --run RUN`.

`cytomesh variation` on a finished demo run, blocks of cortex left out: features of every encoder of the run (seeds of
one name, as `spatialnce`, `spatialnce-1`, are put together as mean and SD), staining profiles, and location alone (the
polynomials of `cytomesh variation`). Thickness of layers is the true share of each node's annotated area times the
thickness of the rebuilt cortex; cells are those that the sections were drawn from, by `cytomesh cells`, in every sixth
section: only nodes that are linked to one of these have them. The run is added to: give a copy.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.analyze.evaluate import trainings
from benchmarks.common import MissingDataError, Options, Result, main
from cytomesh.analyze.cells.config import CellsConfig
from cytomesh.analyze.cells.measure import LAYERS
from cytomesh.analyze.cells.rows import of_layer
from cytomesh.analyze.cells.run import cells_run
from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.measures import save_measures
from cytomesh.analyze.profiles import ProfilesConfig, profiles_run
from cytomesh.analyze.variation import USUAL, variation_run
from cytomesh.core.files import read_json
from cytomesh.core.run import product_folders, read_study_path
from cytomesh.graph.storage import load_graphs
from cytomesh.phantom.cells import write_phantom_cells

FILES = "truth/sub-{brain}/sections/sub-{brain}_sample-{section:04d}_cells.parquet"
EVERY = 6
CELLS = {"tables": {"files": FILES}, "layers": {"source": "table"}, "volume": {"section_um": 20.0}, "grid_um": 100}
TRUE, OF_CELLS, NAME = "true-layers", "true-cells", "variation-structure"
KINDS = ("spatialnce", "untrained", "profiles")
COLUMNS = ("target", "nodes %", "spatialnce", "beyond location", "untrained", "profiles", "location")


def measure(options: Options) -> Result:
    """Explain every target by every features; the quick form leaves out the cells."""
    if options.run is None:
        raise MissingDataError("give a copy of a finished demo run: --run RUN")
    run = options.run
    known = [folder.name for folder in product_folders(run, "features")]
    if "profiles" not in known:
        profiles_run(run, "profiles", ProfilesConfig())
    seeds = {kind: trainings(known, kind) for kind in KINDS}
    targets = [*USUAL, *_true_layers(run), *([] if options.quick else _cells(run))]
    names = [name for own in seeds.values() for name in own]
    settings = {"features": names, "targets": targets, "components": [1, 2, 4, 8, 16, 32, 64]}
    variation_run(run, NAME, VariationConfig.model_validate(settings), allow_stale=True)
    metrics = read_json(run / "analyze" / NAME / "metrics.json")
    found = metrics["features"]
    lacking = {note.partition(": ")[0]: note for note in metrics["notes"]}
    rows: list[list[Any]] = []
    for target in targets:
        by = {kind: [found[name][target] for name in own] for kind, own in seeds.items()}
        location = by["profiles"][0]["location"]
        r2 = {kind: _spread([score["r2"][-1] for score in scores]) for kind, scores in by.items()}
        beyond = [score["beyond_location"] for score in by["spatialnce"]]
        beyond_said = "" if None in beyond else _spread(beyond)
        rows.append(
            [
                target,
                _share(lacking.get(target)),
                r2["spatialnce"],
                beyond_said,
                r2["untrained"],
                r2["profiles"],
                location,
            ]
        )
    mean = {
        kind: np.mean([found[name][target]["r2"][-1] for name in own for target in targets])
        for kind, own in seeds.items()
    }
    claim = f"mean R2 over {len(targets)} targets: " + ", ".join(f"{kind} {value:.2f}" for kind, value in mean.items())
    counts = ", ".join(f"{len(seeds[kind])} of {kind}" for kind in ("spatialnce", "untrained"))
    title = f"Structure explained on left-out blocks, R2 (mean ± SD over seeds: {counts})"
    return Result(title, COLUMNS, rows, claim, {"features": found, "seeds": seeds})


def _true_layers(run: Path) -> list[str]:
    profiles = read_json(read_study_path(run).parent / "truth" / "profiles.json")
    names = [f"layer_{layer}_mm" for layer in LAYERS]
    for graph in load_graphs(run):
        shares = np.full((graph.n_nodes, len(LAYERS)), np.nan)
        for index, area in zip(graph.labels.indices, graph.labels.names, strict=True):
            shares[graph.annotation == index] = [profiles[area][layer]["thickness"] for layer in LAYERS]
        thickness = shares * np.asarray(graph.nodes["thickness_mm"], np.float64)[:, None]
        save_measures(run / "analyze" / TRUE, graph, dict(zip(names, thickness.T, strict=True)), {})
    return [f"{TRUE}:{name}" for name in names]


def _cells(run: Path) -> list[str]:
    study = read_study_path(run).parent
    if not list((study / "truth").rglob("*_cells.parquet")):
        write_phantom_cells(study, every=EVERY)
    cells_run(run, OF_CELLS, CellsConfig.model_validate(CELLS), allow_stale=True)
    measures = [("", "density_per_mm3"), ("", "area_um2")]
    measures += [(layer, name) for name in ("density_per_mm3", "area_um2") for layer in LAYERS]
    return [f"{OF_CELLS}:{of_layer(name, layer) if layer else name}" for layer, name in measures]


def _share(note: str | None) -> float:
    """Return the percentage of linked nodes that have a target, as the analysis says it."""
    if note is None:
        return 100.0
    lack, of = (int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", note.partition(": ")[2])[:2])
    return 100 * (1 - lack / of)


def _spread(values: list[float]) -> str:
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.2f}"


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
