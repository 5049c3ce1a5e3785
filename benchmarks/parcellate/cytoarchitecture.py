"""Do parcels find cytoarchitecture, or just tile the cortex? `python -m benchmarks.parcellate.cytoarchitecture`.

BigBrain, 10k nodes, profiles and layer thickness, K = 43; agreement with von Economo and Julich-Brain areas over areas
rotated on the sphere (20 spins). The settings of configs/parcellate/bigbrain.yaml were chosen on the left hemisphere
against economo; the right and Julich-Brain check them. Borders: how much nearer the borders of parcels and areas lie
than those of rotated areas, the mean of both ways along the mesh. "Areas of the other hemisphere" is what the features
can give with labels: a linear discriminant analysis of hop means (0 to 40), trained on the other hemisphere.
The last line sets the default beside the best baseline, on each hemisphere and against each atlas.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.bigbrain.nodes import FEATURES, write_run
from benchmarks.common import Options, Result, main
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json
from cytomesh.graph.features import load_features
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.graph.storage import CortexGraph, load_graphs, load_surface
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.evaluate import scores_over_nulls
from cytomesh.parcellate.features import NodeFeatures, prepare_features
from cytomesh.parcellate.nulls import make_nulls
from cytomesh.parcellate.run import parcellate_run

SETTINGS = Path(__file__).resolve().parents[2] / "configs" / "parcellate" / "bigbrain.yaml"
SCALES = (0, 1, 3, 6, 10, 20, 40)
COLUMNS = (
    "labels, hemisphere, method",
    "AMI over null",
    "null SDs",
    "border mm nearer",
    "border SDs",
    "AMI",
    "ARI over null",
    "Dice over null",
    "parcels",
)


def measure(options: Options) -> Result:
    """Parcellate both hemispheres; the quick form takes economo and 10 spins."""
    bigbrain = options.bigbrain()
    settings = load_config(ParcellateConfig, SETTINGS, ["evaluation.spins=10"] if options.quick else [])
    rows: list[list[Any]] = []
    for key in ("economo",) if options.quick else ("economo", "julich26"):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder)
            write_run(bigbrain, "10k", key, run)
            parcellate_run(run, "parcels", settings)
            found = read_json(run / "parcellate" / "parcels" / "metrics.json")["graphs"]
            left, right = load_graphs(run)
            for graph, other in ((left, right), (right, left)):
                metrics = found[graph.name]
                for method, facts in {settings.method: metrics, **metrics["baselines"]}.items():
                    rows.append(_row(f"{key}, {graph.hemisphere}, {method}", facts["areas"], facts["n_parcels"]))
                areas, n_areas = _with_labels(run, graph, other, settings)
                rows.append(_row(f"{key}, {graph.hemisphere}, areas of the other hemisphere", areas, n_areas))
    own = [row for row in rows if row[0].endswith(settings.method)]
    claims = []
    for row in own:
        place = row[0].removesuffix(settings.method)
        rivals = [r for r in rows if r[0].startswith(place) and r is not row and not r[0].endswith("hemisphere")]
        best = max(rivals, key=lambda r: r[1])
        claims.append(f"{place}{row[1]:+.3f} ({row[2]:.1f} SD) against {best[1]:+.3f} ({best[0].removeprefix(place)})")
    return Result("BigBrain 10k nodes: parcels and areas", COLUMNS, rows, "AMI over null: " + "; ".join(claims))


def _row(name: str, areas: dict[str, dict[str, float]], n_parcels: int) -> list[Any]:
    ami, border = areas["ami"], areas["border_distance_mm"]
    return [
        name,
        ami["over_spin"],
        ami["over_spin_sd"],
        border["over_spin"],
        border["over_spin_sd"],
        ami["score"],
        areas["ari"]["over_spin"],
        areas["dice"]["over_spin"],
        n_parcels,
    ]


def _with_labels(
    run: Path, graph: CortexGraph, other: CortexGraph, settings: ParcellateConfig
) -> tuple[dict[str, dict[str, float]], int]:
    """Score the areas that a model of the other hemisphere's areas predicts here."""
    here, there = _prepared(run, graph, settings), _prepared(run, other, settings)
    areas = other.annotation[there.nodes]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.05)
    model.fit(_context(there)[areas > 0], areas[areas > 0])
    predicted = np.asarray(model.predict(_context(here)), np.int64)
    nulls = make_nulls(
        graph.annotation,
        here.nodes,
        load_surface(run, graph.name, "sphere").vertices,
        here.positions,
        here.adjacency,
        len(np.unique(predicted)),
        settings.evaluation.spins,
        settings.evaluation.tilings,
        settings.seed,
    )
    scores = scores_over_nulls(predicted, graph.annotation[here.nodes], nulls, here.lengths)
    return scores, len(np.unique(predicted))


def _prepared(run: Path, graph: CortexGraph, settings: ParcellateConfig) -> NodeFeatures:
    raw = load_features(run, FEATURES, graph)
    return prepare_features(graph, raw, settings.preparation, settings.min_nodes, graph.name)


def _context(features: NodeFeatures) -> NDArray[np.float64]:
    return np.hstack([hop_mean(features.adjacency, features.standardised, hops) for hops in SCALES])


if __name__ == "__main__":
    main(measure, __doc__)
