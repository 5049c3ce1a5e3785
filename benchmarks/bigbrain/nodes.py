"""Write BigBrain's node data as graphs with profiles as features: `python -m benchmarks.bigbrain.nodes --out RUN`.

The protocol of the data's README: features are the 18-point profile and the thickness of six layers, standardised per
hemisphere over valid nodes and clipped at 5 SD; an area counts if it has at least 20 valid nodes in each hemisphere
of the 10k mesh; GapMap areas are unlabelled.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.common import Options, parser
from cytomesh.core.files import write_json, write_text
from cytomesh.core.labels import LabelTable, distinct_colours
from cytomesh.graph.imports import import_graphs
from cytomesh.surface.gifti import SurfaceKind, write_labels, write_surface
from cytomesh.surface.mesh import Mesh

MIN_NODES = 20
CLIP_SD = 5.0
FEATURES = "profiles"


def load_nodes(bigbrain: Path, hemisphere: str, mesh: str) -> dict[str, NDArray[Any]]:
    """Read the node data of a hemisphere, "10k" or "164k"."""
    with np.load(bigbrain / "nodes" / f"bigbrain_{hemisphere}_{mesh}.npz", allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def surfaces(data: dict[str, NDArray[Any]]) -> dict[SurfaceKind, Mesh]:
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


def write_files(
    bigbrain: Path, hemisphere: str, mesh: str, key: str, table: LabelTable, folder: Path
) -> dict[str, Any]:
    """Write what `cytomesh graph import` reads of a hemisphere; returns its entry in the manifest."""
    data = load_nodes(bigbrain, hemisphere, mesh)
    meshes = surfaces(data)
    meshes["sphere"] = Mesh(data["sphere"].astype(np.float64), data["faces"].astype(np.int64))
    valid = data["valid"].astype(bool)
    labels = _labels(data, key)
    files = {kind: f"{hemisphere}.{kind}.surf.gii" for kind in meshes}
    for kind, surface in meshes.items():
        write_surface(folder / files[kind], surface, hemisphere, kind)
    files |= {name: f"{hemisphere}.{end}" for name, end in (("labels", "label.gii"), ("cortex", "cortex.npy"))}
    annotation = np.where(valid & np.isin(labels, table.indices), labels, 0)
    write_labels(folder / files["labels"], annotation, table, hemisphere)
    np.save(folder / files["cortex"], valid.astype(np.int8))
    np.save(folder / f"{hemisphere}.{FEATURES}.npy", features(data))
    return {"brain": "bigbrain", "hemisphere": hemisphere, **files, "features": [f"{hemisphere}.{FEATURES}.npy"]}


def write_run(bigbrain: Path, mesh: str, key: str, run: Path) -> dict[str, Any]:
    """Import both hemispheres; returns their numbers."""
    table = label_table(bigbrain, key)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [write_files(bigbrain, hemisphere, mesh, key, table, folder) for hemisphere in ("L", "R")]
        manifest = {"name": "bigbrain", "features": FEATURES, "hemispheres": entries}
        write_text(folder / "surfaces.yaml", yaml.safe_dump(manifest))
        graphs = import_graphs(folder / "surfaces.yaml", run)
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
