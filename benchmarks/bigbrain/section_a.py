"""A small CNN pretrained on the real section A with positions as the only signal, then areas from left to right.

All through the library's stages: build-graph, pretrain, embed, classify. Areas (economo) are those of the nearest true
vertex and serve the linear probe only. Beside it: untrained weights, 18-point image profiles at the same links (the
reference file's profiles reach 0.157 macro-F1 with LDA over 12 areas, chance 0.081), and (mirrored) coordinates without
any image. The null rotates the areas on the sphere, mirrored for the right hemisphere, and probes again. Every label
was transferred by registration, so read F1 as relative.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from benchmarks.bigbrain.nodes import label_table, load_nodes, surfaces
from benchmarks.bigbrain.run import built_run
from benchmarks.common import Options, Result, main
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.run import read_study_path, write_study_path
from cytomesh.graph.features import save_features
from cytomesh.graph.nulls import rotations, turn_of
from cytomesh.graph.storage import graph_folder, load_graphs, load_surface, save_graph
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.pool import graph_sections
from cytomesh.pretrain.run import pretrain_run
from cytomesh.study.study import open_study

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
N_DEPTHS = 18
COLUMNS = ("features", "areas", "n train", "macro-F1 L->R", "null, mean", "null, SD", "p", "steps", "seconds")


def write_labelled_run(bigbrain: Path, run: Path, out: Path, rotation: NDArray[np.float64] | None = None) -> None:
    """Copy the graphs of a run with the economo area of the nearest true vertex as annotation of linked nodes.

    Parameters
    ----------
    rotation : (3, 3) float64, optional
        Turns the areas on the sphere first.
    """
    table = label_table(bigbrain, "economo")
    write_study_path(out, read_study_path(run))
    for graph in load_graphs(run):
        data = load_nodes(bigbrain, graph.hemisphere, "164k")
        true = surfaces(data)["midthickness"].vertices
        distance, nearest = cKDTree(true).query(graph.positions)
        known = graph.is_linked & (distance < MAX_LABEL_DISTANCE_MM) & data["valid"][nearest]
        if rotation is not None:
            turn = turn_of(rotation, graph.hemisphere)
            sphere = data["sphere"].astype(np.float64)
            nearest[known] = cKDTree(sphere).query(sphere[nearest[known]] @ turn.T)[1]
        labels = np.where(known, data["economo"][nearest], 0)
        annotation = np.where(np.isin(labels, table.indices), labels, 0).astype(np.int32)
        columns = {**graph.nodes.columns, "annotation": annotation}
        labelled = replace(graph, nodes=replace(graph.nodes, columns=columns), labels=table)
        others = {kind: load_surface(run, graph.name, kind) for kind in ("pial", "white")}
        save_graph(out, labelled, others, {"source": str(graph_folder(run, graph.name))})


def write_profile_features(run: Path) -> None:
    """Write the grey values at 18 points from the pial to the white surface as features: no learning."""
    study = open_study(read_study_path(run))
    share = (np.arange(N_DEPTHS) + 0.5) / N_DEPTHS
    for graph in load_graphs(run):
        pial, white = (load_surface(run, graph.name, kind).vertices for kind in ("pial", "white"))
        features = np.full((graph.n_nodes, N_DEPTHS), np.nan, np.float32)
        for part in graph_sections(study, graph):
            with open_image(part.image) as image:
                height, width = image.shape
                grey = image.read(0, 0, height, 0, width).astype(np.float32).mean(axis=2)
            # the nodes lie up to half a millimetre from the plane: carry both ends along with the link
            ends = [part.section.plane.pixels(points[part.rows]) for points in (pial, white)]
            shift = part.pixels - 0.5 * (ends[0] + ends[1])
            points = shift[:, None] + ends[0][:, None] + share[:, None] * (ends[1] - ends[0])[:, None]
            at = [points[..., 1].ravel(), points[..., 0].ravel()]
            features[part.rows] = map_coordinates(grey, at, order=1, mode="nearest").reshape(-1, N_DEPTHS)
        save_features(run, "profiles", graph, features, {"source": "grey values from pial to white"})


def write_position_features(run: Path) -> None:
    """Write (mirrored) positions as features: what location alone is worth to the probe."""
    for graph in load_graphs(run):
        positions = graph.positions * np.array([-1.0 if graph.hemisphere == "R" else 1.0, 1.0, 1.0])
        features: NDArray[np.float32] = positions.astype(np.float32)
        features[~graph.is_linked] = np.nan
        save_features(run, "positions", graph, features, {"source": "mirrored world positions"})


def probe(run: Path, name: str) -> dict[str, Any]:
    """Return the linear probe's summary for some features, areas as the graphs of the run have them."""
    overrides = [f"inputs.names=['features:{name}']", f"areas.min_nodes={MIN_NODES}", "n_seeds=1"]
    settings = load_config(ClassifyConfig, CONFIGS / "classify" / "bigbrain_linear.yaml", overrides)
    return classify_run(run, name, settings, resume=False)


def measure(options: Options) -> Result:
    """Pretrain, embed, classify and spin; the quick form takes a coarse mesh, 60 steps and 5 spins."""
    bigbrain = options.bigbrain()
    steps = {"untrained": 0, "spatialnce": 60 if options.quick else 600}
    n_spins = 5 if options.quick else 20
    seconds: dict[str, float] = {}
    names = (*steps, "profiles", "positions")
    with built_run(options) as built, tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_labelled_run(bigbrain, built, run)
        for name, n_steps in steps.items():
            preset, changes = ("demo", [*SPATIAL, "schedule.warmup_steps=20"]) if n_steps else ("baseline", [])
            overrides = [*PATCHES, *changes, f"schedule.steps={n_steps}"]
            settings = load_config(PretrainConfig, CONFIGS / "pretrain" / f"{preset}.yaml", overrides)
            seconds[name] = pretrain_run(run, name, settings)["seconds"]
            embed_run(run, name, EmbedConfig())
        write_profile_features(run)
        write_position_features(run)
        found = {name: probe(run, name) for name in names}
        nulls: dict[str, list[float]] = {name: [] for name in names}
        for rotation in rotations(n_spins, 0):
            write_labelled_run(bigbrain, built, run, rotation)  # features belong to nodes and stay
            for name in names:
                nulls[name].append(probe(run, name)["macro_f1_test"])
    rows: list[list[Any]] = []
    for name in names:
        summary, null = found[name], np.array(nulls[name])
        score = summary["macro_f1_test"]
        p = (1 + int((null >= score).sum())) / (1 + n_spins)
        facts = [float(null.mean()), float(null.std(ddof=1)), p, steps.get(name, 0), seconds.get(name, 0.0)]
        rows.append([name, summary["n_classes"], summary["n_train"], score, *facts])
    scores = {row[0]: row[3] for row in rows}
    claim = (
        f"spatialnce over untrained {scores['spatialnce'] / scores['untrained']:.2f}x, over image profiles"
        f" {scores['spatialnce'] / scores['profiles']:.2f}x, over coordinates only"
        f" {scores['spatialnce'] / scores['positions']:.2f}x; null of spatialnce {rows[1][4]:.3f} ± {rows[1][5]:.3f}"
    )
    return Result("BigBrain section A: areas from pretrained patches, left to right", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
