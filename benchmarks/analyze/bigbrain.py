"""What BigBrain's intensity profiles explain: `python -m benchmarks.analyze.bigbrain`.

`cytomesh variation` on the nodes of the 10k mesh: staining profiles at 18 depths, and their mean alone as the baseline,
explain thickness, curvature, coordinates and the thickness of the six layers as shares of the whole. Left out in turn:
blocks of cortex, and hemispheres. Layers were segmented by others from the same sections (data's README): profiles know
of them by nature.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.bigbrain.nodes import load_nodes, surfaces, write_run
from benchmarks.common import Options, Result, main
from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.variation import variation_run
from cytomesh.core.files import read_json, remove
from cytomesh.core.tables import Table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.surface.mesh import Mesh

LAYERS = tuple(f"layer_{name}_share" for name in ("I", "II", "III", "IV", "V", "VI"))
SPINS, QUICK_SPINS = 50, 5


def write_nodes(bigbrain: Path, run: Path) -> None:
    """Write the run: graphs with the layers among their columns, profiles and their mean as features."""
    write_run(bigbrain, "10k", "economo", run)
    remove(run / "features")
    for graph in load_graphs(run):
        data = load_nodes(bigbrain, graph.hemisphere, "10k")
        layers = data["layer_thickness"].astype(np.float64)
        shares = layers / np.maximum(layers.sum(axis=1, keepdims=True), 1e-9)
        columns = dict(zip(LAYERS, np.where(graph.is_linked[:, None], shares, np.nan).T, strict=True))
        graph = replace(graph, nodes=Table({**graph.nodes.columns, **columns}, graph.nodes.units, graph.nodes.metadata))
        sphere = Mesh(data["sphere"].astype(np.float64), graph.mesh.faces)
        save_graph(run, graph, {**surfaces(data), "sphere": sphere}, {})
        profiles = np.where(graph.is_linked[:, None], data["profiles"].astype(np.float32), np.nan)
        save_features(run, "profiles", graph, profiles, {})
        save_features(run, "mean-intensity", graph, profiles.mean(axis=1, keepdims=True), {})


def measure(options: Options) -> Result:
    """Explain by blocks and by hemispheres."""
    bigbrain, rows = options.bigbrain(), []
    spins = QUICK_SPINS if options.quick else SPINS
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        write_nodes(bigbrain, run)
        targets = ["thickness_mm", "curvature_per_mm", "ref_x_mm", "ref_y_mm", "ref_z_mm", *LAYERS]
        for kind in ("block", "hemisphere"):
            given = {"targets": targets, "folds": {"kind": kind}, "components": [1, 2, 4, 8, 18], "spins": spins}
            variation_run(run, kind, VariationConfig.model_validate(given))
            found = read_json(run / "analyze" / kind / "metrics.json")["features"]
            for target in targets:
                own, mean = found["profiles"][target], found["mean-intensity"][target]
                null = own["null"]
                rows.append(
                    [
                        f"{target}, {kind}s",
                        own["r2"][-1],
                        mean["r2"][-1],
                        own["location"],
                        own["beyond_location"],
                        null["mean"],
                        null["p"],
                    ]
                )
    wins = sum(row[1] > row[2] for row in rows)
    columns = ("target, left out", "profiles", "mean intensity", "location", "beyond location", "null", "p")
    claim = f"profiles explain more than their mean in {wins} of {len(rows)} rows"
    return Result("R2 on left-out nodes of BigBrain (10k mesh)", columns, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
