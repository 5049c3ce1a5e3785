"""Training in parts against full batch: `python -m benchmarks.classify.partition [--quick] [--json FILE]`.

GAT of 3 layers (4 heads x 16, 64 inputs, 100 classes) on spheres of 10,000 to 1,300,000 nodes, all at once and in parts
of 20,000 nodes with halos; predictions of both are compared first, each other number is of a fresh process on one
thread: processor seconds of one exact step and peak memory, data and libraries included. Where the full batch would
take more than two thirds of the free memory, its cells are empty.

Last row: ten hemispheres of 1,000,000 nodes with 2,048 features each, in half precision on disk (one file under ten
names, 4 GB), 4 of 30 sections annotated, `configs/classify/gat_large.yaml`: seconds of one step of eight parts of
50,000 nodes, peak memory of everything from reading to the end of an epoch. The quick form has 10 x 10,000 x 256.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from benchmarks.common import Options, Result, main, peak_memory_mb
from cytomesh.classify.assemble import assemble
from cytomesh.classify.batches import make_batches
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.layers import AttentionModel
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.training import NeuralClassifier, TrainingConfig
from cytomesh.core.config import load_config
from cytomesh.core.files import write_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph
from cytomesh.surface.mesh import Mesh

SIZES = (10_000, 41_000, 164_000, 655_000, 1_300_000)
N_INPUTS, N_CLASSES, PART_NODES, LARGEST_COMPARED = 64, 100, 20_000, 164_000
MODEL = AttentionModel(kind="gat", hidden=64, heads=4, layers=3)
FULL_BATCH_MB = 8e-3
"""Of a node, as measured: decides whether a full batch is tried."""
TOLERANCE = 1e-5
PRESET = Path(__file__).resolve().parents[2] / "configs" / "classify" / "gat_large.yaml"
COLUMNS = ("nodes", "full batch s", "in parts s", "full batch MB", "in parts MB", "largest difference")
CPU = torch.device("cpu")
ROLES = np.array(["train" if 13 <= section < 17 else "test" if section == 17 else "none" for section in range(30)])


def sphere(n: int) -> Mesh:
    """Triangulate n points of a Fibonacci lattice, 40 mm around the origin."""
    i = np.arange(n) + 0.5
    z, turn = 1 - 2 * i / n, np.pi * (1 + np.sqrt(5)) * i
    ring = np.sqrt(1 - z**2)
    vertices = 40 * np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
    return Mesh(vertices, ConvexHull(vertices).simplices.astype(np.int64))


def areas(vertices: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the nearest of 100 centres for each node."""
    centres = np.random.default_rng(0).normal(size=(N_CLASSES, 3))
    return (vertices @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(axis=1)


def problem(folder: Path, n: int) -> NodeData:
    """Make nodes whose inputs are a code of their area and noise; every third is learnt from."""
    vertices = np.load(folder / f"{n}.npy")
    adjacency = sp.load_npz(folder / f"{n}.npz")
    targets = areas(vertices)
    random = np.random.default_rng(1)
    codes = random.normal(size=(N_CLASSES, N_INPUTS)).astype(np.float32)
    inputs = codes[targets] + 2 * random.standard_normal((n, N_INPUTS), np.float32)
    sides = np.where(np.arange(n) % 3 == 0, "train", "")
    classes = np.arange(1, N_CLASSES + 1, dtype=np.int32)
    return NodeData(inputs, targets, sides, adjacency, np.array([n]), classes, vertices.astype(np.float32))


def classifier(part_nodes: int | None, epochs: int) -> NeuralClassifier:
    """Build the network, not yet trained."""
    torch.set_num_threads(1)
    return NeuralClassifier(MODEL, TrainingConfig(epochs=epochs, part_nodes=part_nodes), N_INPUTS, N_CLASSES, CPU)


def largest_difference(folder: Path, n: int) -> float:
    """Return how far predictions in parts are from those of all nodes at once, with the same weights."""
    data = problem(folder, n)
    whole, parts = classifier(None, 1), classifier(PART_NODES, 1)
    whole.fit(data, 0)
    parts.load(whole.state())
    return float(np.abs(parts.probabilities(data) - whole.probabilities(data)).max())


def steps(folder: str, n: str, part_nodes: str) -> None:
    """Time exact steps and write the seconds of one; called in a process of its own."""
    data = problem(Path(folder), int(n))
    size = int(part_nodes) or None
    small = data.part(np.arange(int(n)) < 2_000)
    classifier(None, 1).fit(small, 0)  # compiles
    start = time.process_time()
    make_batches(MODEL, data, size)
    cut = time.process_time() - start
    start = time.process_time()
    classifier(size, 2).fit(data, 0)
    write_json(Path(folder) / "seconds.json", {"step": (time.process_time() - start - cut) / 2})


def hemispheres(folder: Path, n_graphs: int, copied: bool) -> list[CortexGraph]:
    """Build the graphs, each with arrays of its own if `copied`, with areas and sections along y."""
    vertices, faces = np.load(folder / "vertices.npy"), np.load(folder / "faces.npy")
    n = len(vertices)
    section = np.minimum(((vertices[:, 1] + 40) / 80 * len(ROLES)).astype(np.int32), len(ROLES) - 1)
    table = LabelTable.from_names([f"area {i}" for i in range(1, N_CLASSES + 1)])
    graphs = []
    for i in range(n_graphs):
        x, y, z = vertices.T.copy()
        is_linked = z < 39.5  # nothing is cut there
        columns = {
            **dict(zip(("x_mm", "y_mm", "z_mm", "ref_x_mm", "ref_y_mm", "ref_z_mm"), (x, y, z, x, y, z), strict=True)),
            **{name: np.zeros(n) for name in ("angle_deg", "obliqueness_deg", "distance_mm", "thickness_mm")},
            **{"column_px": x * 10, "row_px": z * 10, "area_mm2": np.ones(n), "is_linked": is_linked},
            "section": np.where(is_linked, section, -1).astype(np.int32),
            "section_role": ROLES[section],
            "annotation": np.where(ROLES[section] == "none", 0, areas(vertices) + 1).astype(np.int32),
        }
        mesh = Mesh(vertices.copy(), faces.copy()) if copied else Mesh(vertices, faces)
        graphs.append(CortexGraph(f"B{i:02d}", "L", "train", mesh, Table(columns), table))
    return graphs


def write_hemispheres(folder: Path, n: int, n_features: int, n_graphs: int) -> None:
    """Write a sphere, and its features once, under the names of all hemispheres."""
    mesh = sphere(n)
    np.save(folder / "vertices.npy", mesh.vertices)
    np.save(folder / "faces.npy", mesh.faces)
    graphs = hemispheres(folder, n_graphs, False)
    graph = graphs[0]
    random = np.random.default_rng(2)
    codes = random.normal(size=(N_CLASSES + 1, n_features)).astype(np.float32)
    first = folder / "features" / "large" / f"{graph.name}.npy"
    first.parent.mkdir(parents=True)
    features = np.lib.format.open_memmap(first, mode="w+", dtype=np.float16, shape=(n, n_features))
    for start in range(0, n, 16384):
        rows = slice(start, start + 16384)
        label = graph.annotation[rows]
        features[rows] = codes[label] + 4 * random.standard_normal((len(label), n_features), np.float32)
        features[rows][~graph.is_linked[rows]] = np.nan
    for other in graphs:
        write_json(first.with_name(f"{other.name}.json"), {"graph_digest": graph.digest})
        if other is not graph:
            os.link(first, first.with_name(f"{other.name}.npy"))


def train_hemispheres(folder: str, n_graphs: str, part_nodes: str) -> None:
    """Read, prepare and train for one epoch, and write the seconds; called in a process of its own."""
    torch.set_num_threads(1)
    run = Path(folder)
    overrides = ["training.epochs=1", f"training.part_nodes={part_nodes}", "inputs.memory_gib=0.01"]
    settings = load_config(ClassifyConfig, PRESET, overrides)
    graphs = hemispheres(run, int(n_graphs), True)
    times = [time.process_time()]
    labels = [graph.annotation for graph in graphs]
    data, _, _ = assemble(run, graphs, labels, settings, run / "scratch")
    times.append(time.process_time())
    assert isinstance(settings.model, AttentionModel)
    parts = make_batches(settings.model, data, settings.training.part_nodes)
    n_parts = sum(bool(data.is_train[part.core].any()) for part in parts)  # others have nothing to learn from
    del parts
    times.append(time.process_time())
    model = NeuralClassifier(settings.model, settings.training, data.inputs.shape[1], data.classes.size, CPU)
    curve = model.fit(data, 0)
    times.append(time.process_time())
    prepare, cut, fit = np.diff(times).tolist()
    n_steps = -(-n_parts // (settings.training.parts_per_step or n_parts))
    facts = {"prepare_s": prepare, "cut_s": cut, "epoch_s": fit - cut, "n_steps": n_steps, "n_parts": n_parts}
    write_json(run / "seconds.json", {**facts, "step": (fit - cut) / n_steps, "loss": curve[-1]["loss"]})


def measure(options: Options) -> Result:
    """Compare predictions, then time and memory, then ten hemispheres on disk."""
    sizes = SIZES[:2] if options.quick else SIZES
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in sizes:
            mesh = sphere(n)
            np.save(folder / f"{n}.npy", mesh.vertices)
            sp.save_npz(folder / f"{n}.npz", mesh.adjacency())
            difference = largest_difference(folder, n) if n <= LARGEST_COMPARED else None
            if difference is not None and difference > TOLERANCE:
                raise RuntimeError(f"{n} nodes: predictions in parts differ by {difference}")
            found = [_fresh("steps", folder, n, size) if size or _fits(n) else None for size in (0, PART_NODES)]
            seconds = [one["step"] if one else "" for one in found]
            memory = [one["peak_mb"] if one else "" for one in found]
            rows.append([f"{n:,}", *seconds, *memory, "" if difference is None else difference])
            print(rows[-1], flush=True)
        n, n_features, part_nodes = (10_000, 256, 5_000) if options.quick else (1_000_000, 2_048, 50_000)
        write_hemispheres(folder, n, n_features, 10)
        large = _fresh("train_hemispheres", folder, 10, part_nodes)
        rows.append([f"10 x {n:,} x {n_features:,}", "", large["step"], "", large["peak_mb"], ""])
    memory = f"{large['peak_mb']:,.0f} MB"
    claim = f"equal to {TOLERANCE}; ten hemispheres of {n:,} x {n_features:,} train in {memory}"
    return Result("GAT, 3 layers: full batch and parts, one thread", COLUMNS, rows, claim, {"ten hemispheres": large})


def _fits(n: int) -> bool:
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return n * FULL_BATCH_MB < 2 / 3 * float(line.split()[1]) / 1024


def _fresh(task: str, folder: Path, *arguments: int) -> dict[str, float]:
    code = f"from benchmarks.classify.partition import {task}\n{task}(*sys.argv[1:])"
    peak = peak_memory_mb(code, str(folder), *map(str, arguments))
    return {**json.loads((folder / "seconds.json").read_text()), "peak_mb": peak}


if __name__ == "__main__":
    main(measure, __doc__)
