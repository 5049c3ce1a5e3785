"""Write BigBrain's node data as graphs with profiles as features: `python -m benchmarks.bigbrain.nodes --out RUN`.

The protocol of the data's README: features are the 18-point profile and the thickness of six layers, standardised per
hemisphere over valid nodes and clipped at 5 SD; an area counts if it has at least 20 valid nodes in each hemisphere
of the 10k mesh; GapMap areas are unlabelled.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Options, parser
from cytomesh.core.files import write_json
from cytomesh.core.labels import LabelTable, distinct_colours
from cytomesh.core.tables import Table
from cytomesh.graph.measures import mean_curvature
from cytomesh.graph.storage import CortexGraph, save_features, save_graph
from cytomesh.surface.mesh import Mesh

MIN_NODES = 20
CLIP_SD = 5.0
FEATURES = "profiles"


def load_nodes(bigbrain: Path, hemisphere: str, mesh: str) -> dict[str, NDArray[Any]]:
    """Read the node data of a hemisphere, "10k" or "164k"."""
    with np.load(bigbrain / "nodes" / f"bigbrain_{hemisphere}_{mesh}.npz", allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def surfaces(data: dict[str, NDArray[Any]]) -> dict[str, Mesh]:
    """Return pial, white and midsurface; the 10k data holds the last two."""
    faces = data["faces"].astype(np.int64)
    white = data["white"].astype(np.float64)
    if "pial" in data:
        pial = data["pial"].astype(np.float64)
        middle = (pial + white) / 2.0
    else:
        middle = data["vertices"].astype(np.float64)
        pial = 2.0 * middle - white
    return {"pial": Mesh(pial, faces), "midthickness": Mesh(middle, faces), "white": Mesh(white, faces)}


def label_table(bigbrain: Path, key: str) -> LabelTable:
    """Return the areas of a label array that the protocol counts."""
    counts = []
    for hemisphere in ("L", "R"):
        data = load_nodes(bigbrain, hemisphere, "10k")
        labels = _labels(data, key)
        counts.append(np.bincount(labels[data["valid"]], minlength=int(labels.max()) + 1))
    n = max(map(len, counts))
    least = np.min([np.pad(count, (0, n - len(count))) for count in counts], axis=0)
    known = json.loads((bigbrain / "nodes" / "label_names.json").read_text(encoding="utf-8")).get(key, [])
    names = {index: known[index] if index < len(known) and known[index] else f"area {index}" for index in range(1, n)}
    keep = [index for index in range(1, n) if least[index] >= MIN_NODES and "GapMap" not in names[index]]
    return LabelTable(tuple(keep), tuple(names[index] for index in keep), distinct_colours(len(keep)))


def features(data: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return profiles and layer thickness, (n, 24), standardised over valid nodes; NaN at the others."""
    raw = np.concatenate([data["profiles"].astype(np.float64), data["layer_thickness"].astype(np.float64)], axis=1)
    valid = raw[data["valid"]]
    standard = np.clip((raw - valid.mean(axis=0)) / valid.std(axis=0), -CLIP_SD, CLIP_SD)
    standard[~data["valid"]] = np.nan
    return standard.astype(np.float32)


def write_hemisphere(
    bigbrain: Path, hemisphere: str, mesh: str, key: str, table: LabelTable, run: Path
) -> dict[str, int]:
    """Write one graph and its features; returns its numbers."""
    data = load_nodes(bigbrain, hemisphere, mesh)
    meshes = surfaces(data)
    middle = meshes["midthickness"]
    valid = data["valid"].astype(bool)
    labels = _labels(data, key)
    annotation = np.where(valid & np.isin(labels, table.indices), labels, 0).astype(np.int32)
    n = middle.n_vertices
    unknown = np.full(n, np.nan)
    columns: dict[str, Any] = {
        **dict(zip(("x_mm", "y_mm", "z_mm"), middle.vertices.T, strict=True)),
        **dict(zip(("ref_x_mm", "ref_y_mm", "ref_z_mm"), middle.vertices.T, strict=True)),
        "section": np.full(n, -1, np.int32),
        **dict.fromkeys(("column_px", "row_px", "angle_deg", "obliqueness_deg", "distance_mm"), unknown),
        "is_linked": valid,
        "link_reason": np.where(valid, "", "not valid cortex"),
        "section_role": np.full(n, "none"),
        "annotation": annotation,
        "thickness_mm": np.linalg.norm(meshes["pial"].vertices - meshes["white"].vertices, axis=1),
        "curvature_per_mm": mean_curvature(middle),
        "area_mm2": middle.vertex_areas,
    }
    graph = CortexGraph("bigbrain", hemisphere, "train", middle, Table(columns, metadata={"study": "bigbrain"}), table)
    sphere = Mesh(data["sphere"].astype(np.float64), middle.faces)
    qc = {"source": f"bigbrain_{hemisphere}_{mesh}.npz", "labels": key, "n_nodes": n, "n_valid": int(valid.sum())}
    save_graph(run, graph, {"pial": meshes["pial"], "white": meshes["white"], "sphere": sphere}, qc)
    save_features(run, FEATURES, graph, features(data), {"source": "18-point intensity profile, six layer thicknesses"})
    return {"n_nodes": n, "n_valid": int(valid.sum()), "n_labelled": int((annotation > 0).sum())}


def write_run(bigbrain: Path, mesh: str, key: str, run: Path) -> dict[str, Any]:
    """Write both hemispheres; returns their numbers."""
    table = label_table(bigbrain, key)
    graphs = {
        f"bigbrain_hemi-{hemisphere}": write_hemisphere(bigbrain, hemisphere, mesh, key, table, run)
        for hemisphere in ("L", "R")
    }
    return {"mesh": mesh, "labels": key, "n_areas": len(table), "graphs": graphs}


def _labels(data: dict[str, NDArray[Any]], key: str) -> NDArray[np.int64]:
    if key not in data or data[key].ndim != 1 or not np.issubdtype(data[key].dtype, np.integer):
        known = [name for name, array in data.items() if array.ndim == 1 and np.issubdtype(array.dtype, np.integer)]
        raise SystemExit(f"--labels: no integer array '{key}', there are: {', '.join(known)}")
    return np.maximum(data[key].astype(np.int64), 0)


def _arguments() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--out", type=Path, required=True, help="run directory")
    arguments.add_argument("--mesh", choices=("10k", "164k"), default="10k", help="size of the meshes")
    arguments.add_argument("--labels", default="economo", help="key of an integer array in the npz")
    return arguments.parse_args()


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    bigbrain = Options(arguments.data, quick=False).bigbrain()
    summary = write_run(bigbrain, arguments.mesh, arguments.labels, arguments.out)
    for name, numbers in summary["graphs"].items():
        print(f"{name}: " + ", ".join(f"{value:,} {key.removeprefix('n_')}" for key, value in numbers.items()))
    print(f"{summary['n_areas']} areas; next: cytomesh classify --out {arguments.out}")
    if arguments.json:
        write_json(arguments.json, summary)


if __name__ == "__main__":
    main()
