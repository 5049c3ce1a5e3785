"""A small CNN pretrained on the real section A with positions as the only signal, then areas from left to right.

All through the library's stages: build-graph, pretrain, embed, classify. Areas (economo) are those of the nearest true
vertex and serve the linear probe only. The reference, 18-point image profiles and LDA, is 0.157 macro-F1 over 12 areas
(chance 0.081); every label was transferred by registration, so read F1 as relative.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.bigbrain.nodes import label_table, load_nodes, surfaces
from benchmarks.bigbrain.run import built_run
from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.run import read_study_path, write_study_path
from cytomesh.graph.storage import graph_folder, load_graphs, load_surface, save_features, save_graph
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.run import pretrain_run

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PATCHES = ("patches.size_px=64", "patches.um_per_px=62.5")
# one section: neighbours from other sections do not exist, and pairs within it are all there is
SPATIAL = (
    "sampling.neighbours=0",
    "sampling.seeds_per_batch=256",
    "objectives.spatial_nce.same_section_weight=1.0",
    "objectives.spatial_nce.same_brain_weight=1.0",
    "objectives.spatial_nce.sigma_mm=3.0",
)
MIN_NODES = 10
MAX_LABEL_DISTANCE_MM = 2.0
COLUMNS = ("features", "areas", "n train", "macro-F1 L->R", "steps", "seconds")


def write_labelled_run(bigbrain: Path, run: Path, out: Path) -> None:
    """Copy the graphs of a run with the economo area of the nearest true vertex as annotation of linked nodes."""
    table = label_table(bigbrain, "economo")
    write_study_path(out, read_study_path(run))
    for graph in load_graphs(run):
        data = load_nodes(bigbrain, graph.hemisphere, "164k")
        true = surfaces(data)["midthickness"].vertices
        distance, nearest = cKDTree(true).query(graph.positions)
        known = graph.is_linked & (distance < MAX_LABEL_DISTANCE_MM) & data["valid"][nearest]
        labels = np.where(known, data["economo"][nearest], 0)
        annotation = np.where(np.isin(labels, table.indices), labels, 0).astype(np.int32)
        columns = {**graph.nodes.columns, "annotation": annotation}
        labelled = replace(graph, nodes=replace(graph.nodes, columns=columns), labels=table)
        others = {kind: load_surface(run, graph.name, kind) for kind in ("pial", "white")}
        save_graph(out, labelled, others, {"source": str(graph_folder(run, graph.name))})


def write_position_features(run: Path) -> None:
    """Write (mirrored) positions as features: what location alone is worth to the probe."""
    for graph in load_graphs(run):
        positions = graph.positions * np.array([-1.0 if graph.hemisphere == "R" else 1.0, 1.0, 1.0])
        features: NDArray[np.float32] = positions.astype(np.float32)
        features[~graph.is_linked] = np.nan
        save_features(run, "positions", graph, features, {"source": "mirrored world positions"})


def measure(options: Options) -> Result:
    """Pretrain, embed and classify; the quick form takes a coarse mesh and 60 steps."""
    bigbrain = options.bigbrain()
    steps = {"untrained": 0, "spatialnce": 60 if options.quick else 600}
    seconds: dict[str, float] = {"positions": 0.0}
    rows: list[list[Any]] = []
    with built_run(options) as built, tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_labelled_run(bigbrain, built, run)
        for name, n_steps in steps.items():
            preset, changes = ("demo", [*SPATIAL, "schedule.warmup_steps=20"]) if n_steps else ("baseline", [])
            overrides = [*PATCHES, *changes, f"schedule.steps={n_steps}"]
            settings = load_config(PretrainConfig, CONFIGS / "pretrain" / f"{preset}.yaml", overrides)
            seconds[name] = pretrain_run(run, name, settings)["seconds"]
            embed_run(run, name, EmbedConfig())
        write_position_features(run)
        for name in (*steps, "positions"):
            overrides = [f"inputs.names=['features:{name}']", f"areas.min_nodes={MIN_NODES}"]
            probe = load_config(ClassifyConfig, CONFIGS / "classify" / "bigbrain_linear.yaml", overrides)
            summary = classify_run(run, name, probe)
            score = summary["macro_f1_test"]
            rows.append([name, summary["n_classes"], summary["n_train"], score, steps.get(name, 0), seconds[name]])
    scores = {row[0]: row[3] for row in rows}
    claim = (
        f"spatialnce over untrained: {scores['spatialnce'] / scores['untrained']:.2f}x"
        f" (positions alone {scores['positions']:.3f}; image profiles + LDA 0.157 on 12 areas)"
    )
    return Result("BigBrain section A: areas from pretrained patches, left to right", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
