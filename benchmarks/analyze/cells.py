"""Cells of a phantom against its truth, corrections, the segmenter: `python -m benchmarks.analyze.cells`.

1. Phantom *tiny*, one brain, rebuilt surfaces and declared (misaligned) planes, every twelfth section, 3 seeds (quick:
   one). The truth of a layer is its drawn cells over its true area; that of an area and a layer the density
   that its cells were drawn with, before chance and the fluctuation along the sheet. A phantom's cells are points, none
   is cut through: Abercrombie's correction has nothing to correct here, and its row shows by how much it is wrong then.
2. Balls of two sizes in a slab that cuts them, where it has.
3. The built-in segmenter on discs of known number and size, beside scikit-image's `blob_log`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.draw import disk
from skimage.feature import blob_log
from skimage.measure import regionprops_table

from benchmarks.common import Options, Result, main
from cytomesh.analyze.cells.config import CellsConfig, SegmentConfig
from cytomesh.analyze.cells.measure import LAYERS
from cytomesh.analyze.cells.rows import of_layer
from cytomesh.analyze.cells.run import cells_run
from cytomesh.analyze.cells.segment import segment
from cytomesh.analyze.cells.volume import abercrombie
from cytomesh.analyze.measures import save_measures
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.core.tables import read_table
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.storage import load_graphs
from cytomesh.phantom.cells import write_phantom_cells
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.section import truth_path
from cytomesh.phantom.stain import draw_stain
from cytomesh.phantom.write import write_phantom

FILES = "truth/sub-{brain}/sections/sub-{brain}_sample-{section:04d}_cells.parquet"
TYPICAL = [0.10, 0.19, 0.49, 0.60, 0.79]
WAYS: dict[str, dict[str, Any]] = {
    "layers of the drawn cells": {"layers": {"source": "table"}},
    "true shares at nodes": {"layers": {"source": "analysis", "analysis": "true"}},
    "fixed depths": {"layers": {"source": "depths", "depths": TYPICAL}},
    "true shares, Abercrombie": {
        "layers": {"source": "analysis", "analysis": "true"},
        "volume": {"overcount": "abercrombie"},
    },
}
EVERY = 12
COLUMNS = ("", "density, layers %", "size, layers %", "density, areas %", "r of log density", "CPU us a cell")


def measure(options: Options) -> Result:
    """Measure all three, and put them in one table."""
    seeds = (0,) if options.quick else (0, 1, 2)
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            for way, numbers in _phantom(Path(folder), seed).items():
                found[way].append(numbers)
    rows: list[list[Any]] = [
        [way, *(_spread([one[i] for one in numbers]) for i in range(5))] for way, numbers in found.items()
    ]
    facts: dict[str, Any] = {"phantom": found}
    slab = [_slab(seed) for seed in range(3)]
    for name, values in (
        ("balls cut by a slab, none", [s[0] for s in slab]),
        ("balls cut, Abercrombie", [s[1] for s in slab]),
    ):
        rows.append([name, _spread(values), "", "", "", ""])
    discs = {name: [_discs(seed)[name] for seed in range(3)] for name in ("segmenter", "blob_log")}
    for name, values in discs.items():
        f1, size, seconds = (_spread([one[i] for one in values], 3) for i in range(3))
        rows.append([f"{name}: F1 {f1}", "", size, "", "", f"{seconds} CPU s"])
    facts |= {"slab": slab, "discs": discs}
    known, shares = (np.mean([one[0] for one in found[way]]) for way in list(WAYS)[:2])
    claim = (
        f"density of a layer {known:.1f} % off the drawn one by layers of cells, {shares:.1f} % by true shares at nodes"
    )
    title = f"Cells: median absolute errors, mean ± SD of {len(seeds)} seeds (slab and discs: 3)"
    return Result(title, COLUMNS, rows, claim, facts)


def _phantom(folder: Path, seed: int) -> dict[str, list[float]]:
    changes = ["brains=[{id: T01, role: train}]", f"seed={seed}"]
    settings = load_config(PhantomConfig, preset("phantom", "tiny"), changes)
    study, run = folder / "study", folder / "run"
    write_phantom(study, settings)
    write_phantom_cells(study, every=EVERY)
    build_graphs(study / "study.yaml", run, load_config(BuildGraphConfig, preset("build-graph", "tiny")))
    (graph,) = load_graphs(run)
    profiles = read_json(study / "truth" / "profiles.json")
    shares = np.full((graph.n_nodes, 6), np.nan)
    for index, name in zip(graph.labels.indices, graph.labels.names, strict=True):
        shares[graph.annotation == index] = [profiles[name][layer]["thickness"] for layer in LAYERS]
    columns = {f"layer_{layer}_share": shares[:, k] for k, layer in enumerate(LAYERS)}
    save_measures(run / "analyze" / "true", graph, columns, {})
    drawn_density, drawn_size = _drawn(study, settings)
    factor = draw_stain(settings.stain, settings.seed, "T01").density
    found = {}
    for way, given in WAYS.items():
        wanted = {"tables": {"files": FILES}, "depth": "linear", "grid_um": 100, **given}
        start = time.process_time()
        cells_run(run, "cells", CellsConfig.model_validate(wanted))
        seconds = time.process_time() - start
        metrics = read_json(run / "analyze" / "cells" / "metrics.json")
        rows = metrics["graphs"][graph.name]["layers"][1:]
        density = np.array([row["density_per_mm3"] for row in rows])
        size = np.array([row["area_um2"] for row in rows])
        nodes = read_table(run / "analyze" / "cells" / "nodes" / f"{graph.name}.parquet")
        truth, seen = [], []
        for index, name in zip(graph.labels.indices, graph.labels.names, strict=True):
            own = graph.annotation == index
            for layer in LAYERS:
                values = nodes[of_layer("density_per_mm3", layer)][own]
                if np.isfinite(values).sum() >= 5:
                    truth.append(factor * profiles[name][layer]["cells_per_mm3"])
                    seen.append(np.nanmean(values))
        found[way] = [
            _percent(density, drawn_density),
            _percent(size, drawn_size),
            _percent(np.array(seen), np.array(truth)),
            float(np.corrcoef(np.log(seen), np.log(truth))[0, 1]),
            1e6 * seconds / metrics["n_read"],
        ]
    return found


def _drawn(study: Path, settings: PhantomConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return density (1/mm3) and mean area (um2) of the drawn cells of each layer, over the sections with tables."""
    cells, sizes, mm3 = np.zeros(6), np.zeros(6), np.zeros(6)
    for path in sorted((study / "truth").rglob("*_cells.parquet")):
        table = read_table(path)
        sample = path.name.split("sample-")[1].split("_")[0]
        truth = np.load(truth_path(study, "T01", sample), allow_pickle=False)
        px_mm2 = (1e-3 * settings.sections.um_per_px * int(truth["step"])) ** 2
        for k in range(6):
            own = table["layer"] == k + 1
            cells[k] += own.sum()
            sizes[k] += table["area_um2"][own].sum(dtype=np.float64)
            mm3[k] += (truth["layer"] == k + 1).sum() * px_mm2 * 1e-3 * settings.sections.thickness_um
    return cells / mm3, sizes / cells


def _slab(seed: int) -> tuple[float, float]:
    """Return the errors of density (%) without and with Abercrombie's correction; sizes as seen in projection."""
    random = np.random.default_rng(seed)
    t, height, n = 20.0, 400.0, 400_000
    z, d = random.uniform(0, height, n), random.choice([7.0, 11.0, 17.0, 27.0], n, p=[0.3, 0.4, 0.2, 0.1])
    gap = np.maximum(np.abs(z - height / 2) - t / 2, 0.0)  # from the centre to the slab
    is_seen = gap < d / 2
    seen_d = 2 * np.sqrt((d[is_seen] / 2) ** 2 - gap[is_seen] ** 2)  # the widest disc within it
    true = n / height
    return tuple(100 * abs(w.sum() / t / true - 1) for w in (np.ones(len(seen_d)), abercrombie(seen_d, t)))  # type: ignore[return-value]


def _discs(seed: int) -> dict[str, list[float]]:
    """Return F1, error of the mean diameter (%) and seconds on 1 mm2 with 1,500 discs at 1 um/px, some touching."""
    random = np.random.default_rng(seed)
    places, diameters = np.empty((0, 2)), np.empty(0)
    while len(places) < 1500:
        place, d = random.uniform(15, 985, 2), float(np.clip(np.exp(random.normal(np.log(12), 0.3)), 7, 30))
        if not (np.hypot(*(places - place).T) < 0.48 * (diameters + d)).any():
            places, diameters = np.concatenate([places, [place]]), np.append(diameters, d)
    grey = np.full((1000, 1000), 200.0)
    for (row, column), d in zip(places, diameters, strict=True):
        grey[disk((row, column), d / 2, shape=grey.shape)] = random.uniform(80, 130)
    grey = (gaussian_filter(grey, 1.0) + random.normal(size=grey.shape) * 4).astype(np.float32)
    start = time.process_time()
    found = regionprops_table(segment(grey, 1.0, SegmentConfig()), properties=("centroid", "equivalent_diameter_area"))
    own = time.process_time() - start
    start = time.process_time()
    blobs = blob_log(200 - grey.clip(0, 200), min_sigma=2.5, max_sigma=10.6, num_sigma=10, threshold=8)
    peer = time.process_time() - start
    ours = np.column_stack([found["centroid-0"], found["centroid-1"]])
    return {
        "segmenter": [_f1(ours, places), _size(found["equivalent_diameter_area"], diameters), own],
        "blob_log": [_f1(blobs[:, :2], places), _size(2 * np.sqrt(2) * blobs[:, 2], diameters), peer],
    }


def _f1(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Return F1 of one-to-one matches within 4 um."""
    apart = cdist(found, true)
    matches = linear_sum_assignment(np.where(apart < 4, apart, 1e3))
    return float(2 * (apart[matches] < 4).sum() / (len(found) + len(true)))


def _size(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return float(100 * abs(found.mean() / true.mean() - 1))


def _percent(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return float(100 * np.median(np.abs(found / true - 1)))


def _spread(values: list[float], digits: int = 2) -> str:
    mean = np.mean(values)
    return f"{mean:.{digits}f}" if len(values) == 1 else f"{mean:.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


if __name__ == "__main__":
    main(measure, __doc__)
