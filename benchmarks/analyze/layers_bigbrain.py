"""Layers in a real section of BigBrain: `python -m benchmarks.analyze.layers_bigbrain`.

Section A (42 um/px). Contours are cuts of the true surfaces; layers are painted by the `layer_thickness` of the nodes
at the section, which others segmented in the whole brain, so that they are a reference and no drawing of this section.
Decoders learn on the left hemisphere; the thickness of each layer on the right is compared with `layer_thickness`:
correlation over nodes, beside the profile baseline and depth alone, with a null of thicknesses rotated on the sphere.
Both are shares of the same cortex, so that thick cortex alone does not correlate.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.prepare import HEMISPHERES, MM_PER_PX, coronal_plane, section_a, section_index
from benchmarks.bigbrain.section_a import CONFIGS, PATCHES, SPATIAL
from benchmarks.common import Options, Result, main
from cytomesh.analyze.layers.classes import LAYERS as NAMES
from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.ribbon import Grid, section_ribbon
from cytomesh.analyze.layers.run import layers_run
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json, write_text
from cytomesh.core.labels import LabelTable
from cytomesh.core.run import write_study_path
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.nulls import each_spin, null_record, rotations, turn_of
from cytomesh.graph.storage import CortexGraph, load_graphs, save_graph
from cytomesh.phantom.slicing import cut, polygons
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.run import pretrain_run
from cytomesh.study.atlas import write_labels
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections

SPECK_PX = 170.0
REACH_MM = 0.6
UM = 1000 * MM_PER_PX


def section_contours(data: dict[str, NDArray[Any]], plane: SectionPlane) -> HemisphereContours:
    """Cut the true surfaces of a hemisphere."""
    meshes = surfaces(data)
    both = [
        polygons(cut(plane.pixels(mesh.vertices), mesh.faces, plane.distance(mesh.vertices)), SPECK_PX)
        for mesh in (meshes["pial"], meshes["white"])
    ]
    return HemisphereContours(*both)


def hemisphere_graph(data: dict[str, NDArray[Any]], side: str, section: LinkSection) -> CortexGraph:
    """Return the 164k mesh with its image links to one section."""
    meshes = surfaces(data)
    ribbon = Ribbon(meshes["pial"], meshes["midthickness"], meshes["white"])
    mesh = ribbon.midthickness
    links = link_positions(ribbon, [section], mesh.vertices, REACH_MM, REACH_MM, mesh.vertex_normals)
    linked = links.is_linked & data["valid"].astype(bool)
    places = dict(zip(("x_mm", "y_mm", "z_mm"), mesh.vertices.T, strict=True))
    columns = {
        **places,
        **{f"ref_{name}": values for name, values in places.items()},
        "section": np.where(linked, links.section, -1).astype(np.int32),
        "column_px": np.where(linked, links.pixels[:, 0], np.nan),
        "row_px": np.where(linked, links.pixels[:, 1], np.nan),
        "angle_deg": np.where(linked, links.angle_deg, np.nan),
        "obliqueness_deg": np.where(linked, links.obliqueness_deg, np.nan),
        "distance_mm": np.where(linked, links.distance_mm, np.nan),
        "is_linked": linked,
        "section_role": np.where(linked, "train", "none"),
        "annotation": np.zeros(len(linked), np.int32),
        "thickness_mm": np.linalg.norm(ribbon.pial.vertices - ribbon.white.vertices, axis=1),
        "area_mm2": mesh.vertex_areas,
    }
    return CortexGraph("bigbrain", side, "train", mesh, Table(columns), LabelTable.from_names(["none"]))


def shares_of(data: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the true share of each layer at nodes, (n, 6); NaN where there is none."""
    layers = data["layer_thickness"].astype(np.float64)
    total = layers.sum(axis=1, keepdims=True)
    return np.where((total > 0) & data["valid"].astype(bool)[:, None], layers / np.maximum(total, 1e-9), np.nan)


def write_run(bigbrain: Path, folder: Path) -> Path:
    """Write study, masks of layers and graphs; returns the run directory."""
    image = section_a(bigbrain)
    plane = coronal_plane(image.y_mm, image.x0_mm, image.z0_mm)
    index = section_index(image.y_mm)
    with Image.open(image.path) as picture:
        shape = (picture.height, picture.width)
    nodes = {side: load_nodes(bigbrain, side, "164k") for side in HEMISPHERES}
    contours = {side: section_contours(data, plane) for side, data in nodes.items()}
    study, run = folder / "study", folder / "run"
    write_contours(study / "a.geojson", SectionContours(contours))
    section = Section("bigbrain", index, image.path, UM, plane, study / "a.geojson", role="train")
    write_sections(study / "sections.tsv", [section])
    write_labels(study / "labels.tsv", LabelTable.from_names(["none"]))
    brain = {"id": "bigbrain", "role": "train", "hemispheres": list(HEMISPHERES), "sections": "sections.tsv"}
    manifest = {"name": "bigbrain", "space": {"name": "bigbrain-histological"}, "brains": [brain]}
    manifest |= {"species": "Homo sapiens", "stain": "cell bodies (Merker)", "contours": {"repair": True}}
    manifest["data_roots"] = [str(image.path.parent)]
    write_text(study / "study.yaml", yaml.safe_dump(manifest, sort_keys=False))
    write_study_path(run, study / "study.yaml")
    painted = np.zeros(shape, np.uint8)
    for side, data in nodes.items():
        graph = hemisphere_graph(data, side, LinkSection(index, plane, shape))
        meshes = surfaces(data)
        save_graph(run, graph, {"pial": meshes["pial"], "white": meshes["white"]}, {})
        ribbon = section_ribbon(contours[side], Grid(shape, 1.0), UM, 48)
        shares = shares_of(data)
        known = np.flatnonzero(graph.is_linked & np.isfinite(shares).all(axis=1))
        pixels = graph.nodes.stack(["column_px", "row_px"])[known]
        away, nearest = cKDTree(pixels).query(ribbon.columns.feet)
        own = ribbon.paint(np.cumsum(shares[known[nearest]], axis=1)[:, :5])
        rows, columns, column = ribbon.nearest_columns
        is_far = away[column] * MM_PER_PX > 1.0
        own[rows[is_far], columns[is_far]] = 255
        painted = np.where(own > 0, own, painted)
    Image.fromarray(painted).save(study / "layers.png")
    write_text(study / "layers.tsv", f"brain\tsection\tfile\nbigbrain\t{index}\tlayers.png\n")
    return run


def measure(options: Options) -> Result:
    """Pretrain on both hemispheres without labels, learn layers on the left, compare the right."""
    bigbrain = options.bigbrain()
    n_spins = 100 if options.quick else 1000
    steps = {"spatialnce": 20 if options.quick else 100, "untrained": 0}
    with tempfile.TemporaryDirectory() as name:
        run = write_run(bigbrain, Path(name))
        for encoder, n_steps in steps.items():
            kind, changes = ("demo", [*SPATIAL, "schedule.warmup_steps=20"]) if n_steps else ("baseline", [])
            overrides = [*PATCHES, *changes, f"schedule.steps={n_steps}"]
            pretrain_run(run, encoder, load_config(PretrainConfig, CONFIGS / "pretrain" / f"{kind}.yaml", overrides))
        codes = {**{layer: [i + 1] for i, layer in enumerate(NAMES)}, "white": [7], "ignore": [255]}
        given = {"truth": {"files": "layers.tsv", "codes": codes}, "split": {"kind": "hemisphere"}}
        given |= {"training": {"steps": 40 if options.quick else 150}, "encoders": list(steps)}
        began = time.perf_counter()
        layers_run(run, "layers", LayersConfig.model_validate(given))
        seconds = time.perf_counter() - began
        metrics = read_json(run / "analyze" / "layers" / "metrics.json")
        rows = _rows(bigbrain, run, list(metrics["methods"]), n_spins)
    scores = {method: sides["test"] for method, sides in metrics["methods"].items()}
    parts = [
        f"{method} {np.mean([row[2] for row in rows if row[0] == method and np.isfinite(row[2])]):.3f} and "
        f"{score['macro_f1']:.3f}"
        for method, score in scores.items()
    ]
    claim = f"mean r over layers and macro-F1: {'; '.join(parts)}"
    columns = ("layers from", "layer", "r of shares", "null, mean", "null, SD", "p")
    facts = {"scores": scores, "trust": metrics["trust"], "seconds of the stage": seconds}
    return Result("BigBrain section A: layers from left to right", columns, rows, claim, facts)


def _rows(bigbrain: Path, run: Path, methods: list[str], n_spins: int) -> list[list[Any]]:
    graph = next(graph for graph in load_graphs(run) if graph.hemisphere == "R")
    data = load_nodes(bigbrain, "R", "164k")
    table, truth = read_table(run / "analyze" / "layers" / "shares" / f"{graph.name}.parquet"), shares_of(data)
    found = {
        method: np.stack([table[f"{method}: {layer}"] for layer in NAMES], axis=1)
        for method in methods
        if method != "depth alone"
    }
    is_known = np.isfinite(truth).all(axis=1) & np.all([np.isfinite(own).all(axis=1) for own in found.values()], axis=0)
    nodes = np.flatnonzero(is_known)
    turns = [turn_of(turn, "R") for turn in rotations(n_spins, 0)]
    spun: dict[tuple[str, int], list[float]] = {(method, i): [] for method in found for i in range(len(NAMES))}
    for source in each_spin(data["sphere"].astype(np.float64), turns, nodes):
        known = np.isfinite(truth[source]).all(axis=1)  # the medial wall turns into the section, too
        for method, i in spun:
            spun[method, i].append(_correlation(found[method][nodes[known], i], truth[source[known], i]))
    rows = []
    for (method, i), values in spun.items():
        r = _correlation(found[method][nodes, i], truth[nodes, i])
        null = null_record(r, values)
        rows.append([method, NAMES[i], r, null["mean"], null["sd"], null["p"]])
    return rows


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


if __name__ == "__main__":
    main(measure, __doc__)
