"""Values carried to another mesh and back: `python -m benchmarks.register.resampling`.

Claim: what Connectome Workbench gives (`-metric-resample` and `-label-resample`, ADAP_BARY_AREA), in less time. From
the left hemisphere of BigBrain, 164k vertices on the data's sphere, to fsaverage5's sphere of 10k and back, corrected
by the areas of both midsurfaces; vertices that the data calls valid count (`-current-roi`). Numbers are layer
thickness (their sum) and mean staining, labels von Economo's, Julich-Brain's and Yeo's. Whether the two spheres are
in register is of no concern here: each mesh has the vertices that it has. Nearest vertices (a k-d tree both ways),
which is what is done without resampling weights, stand beside; nilearn carries volumes to surfaces, but nothing from
surface to surface. Wall seconds of one thread for all maps there and back, spheres read; Workbench reads and writes
files, a start each.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.common import Options, Result, interleave, main
from cytomesh.core.labels import LabelTable
from cytomesh.register.resample import resample_labels, resample_numbers, resampling
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.gifti import write_labels, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh, unit

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]
LABELS = ("economo", "julich26", "yeo7")
WORKBENCH = "Workbench, ADAP_BARY_AREA"


@dataclass(frozen=True)
class Surface:
    """A mesh with its sphere, and the vertices whose values count."""

    sphere: Mesh
    middle: Mesh
    is_known: NDArray[np.bool_]


Maps = tuple[Floats, dict[str, Labels]]
Way = Callable[[Surface, Surface, Maps], Maps]


def by_cytomesh(source: Surface, target: Surface, maps: Maps) -> Maps:
    """Carry (n, k) numbers and labels by `cytomesh resample`'s functions."""
    weights = resampling(
        source.sphere, target.sphere, source.middle.vertex_areas, target.middle.vertex_areas, source.is_known
    )
    return resample_numbers(weights, maps[0]), {name: resample_labels(weights, own) for name, own in maps[1].items()}


def by_nearest(source: Surface, target: Surface, maps: Maps) -> Maps:
    """Take the nearest vertex that counts."""
    known = np.flatnonzero(source.is_known)
    nearest = known[cKDTree(unit(source.sphere.vertices)[known]).query(unit(target.sphere.vertices))[1]]
    return maps[0][nearest], {name: own[nearest] for name, own in maps[1].items()}


def by_workbench(source: Surface, target: Surface, maps: Maps) -> Maps:
    """Let `wb_command` do it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for which, surface in (("source", source), ("target", target)):
            write_surface(folder / f"{which}.surf.gii", surface.sphere, "L", "sphere")
            write_surface(folder / f"{which}_middle.surf.gii", surface.middle, "L", "midthickness")
        write_scalars(folder / "roi.shape.gii", {"roi": source.is_known.astype(np.float32)}, "L")
        columns = {f"number {i}": np.nan_to_num(column) for i, column in enumerate(maps[0].T)}
        write_scalars(folder / "numbers.func.gii", columns, "L")
        _workbench(folder, "metric", "numbers.func.gii")
        carried = [array.data for array in nib.load(folder / "out_numbers.func.gii").darrays]
        labels = {}
        for key, own in maps[1].items():
            table = LabelTable.from_names([f"{i}" for i in range(1, int(own.max()) + 1)])
            write_labels(folder / f"{key}.label.gii", own, table, "L")
            _workbench(folder, "label", f"{key}.label.gii")
            labels[key] = np.asarray(nib.load(folder / f"out_{key}.label.gii").darrays[0].data, np.int32)
        return np.stack(carried, axis=1).astype(np.float64), labels


def _workbench(folder: Path, kind: str, file: str) -> None:
    words = ["wb_command", f"-{kind}-resample", file, "source.surf.gii", "target.surf.gii"]
    words += [
        "ADAP_BARY_AREA",
        f"out_{file}",
        "-area-surfs",
        "source_middle.surf.gii",
        "target_middle.surf.gii",
        "-current-roi",
        "roi.shape.gii",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)


def measure(options: Options) -> Result:
    """Go there and back in each way."""
    data = load_nodes(options.bigbrain(), "L", "164k")
    middle = surfaces(data)["midthickness"]
    fine = Surface(Mesh(data["sphere"].astype(np.float64), middle.faces), middle, data["valid"].astype(bool))
    packaged = fsaverage5("L")
    everywhere = np.ones(packaged["sphere"].n_vertices, bool)
    coarse = Surface(packaged["sphere"], packaged["midthickness"], everywhere)
    numbers = [data["layer_thickness"].astype(np.float64).sum(axis=1), data["profiles"].astype(np.float64).mean(axis=1)]
    own: Maps = (np.stack(numbers, axis=1), {key: data[key].astype(np.int32) for key in LABELS})
    ways: dict[str, Way] = {"cytomesh": by_cytomesh, WORKBENCH: by_workbench, "nearest vertex": by_nearest}
    there: dict[str, Maps] = {}
    back: dict[str, Maps] = {}

    def go(name: str, way: Way) -> None:
        there[name] = way(fine, coarse, own)
        back[name] = way(Surface(coarse.sphere, coarse.middle, has_value(there["cytomesh"])), fine, there[name])

    timings = interleave(
        {name: lambda name=name, way=way: go(name, way) for name, way in ways.items()},  # type: ignore[misc]
        1 if options.quick else 3,
    )
    # others have numbers everywhere: 0, or a far neighbour's
    seen, seen_back = has_value(there["cytomesh"]), fine.is_known & has_value(back["cytomesh"])
    rows = [
        [name, *_kept(own, back[name], seen_back), *_differences(there[name], there[WORKBENCH], seen), timing.median]
        for name, timing in timings.items()
    ]
    columns = ["way", "thickness, r", "RMSE, SD", "staining, r", "RMSE, SD"]
    columns += [*LABELS, "numbers from Workbench's, SD", "labels unlike its", "seconds"]
    return Result("BigBrain L: 164k -> fsaverage5's 10k -> 164k", columns, rows, _claim(rows))


def has_value(maps: Maps) -> NDArray[np.bool_]:
    """Return which vertices have all numbers, (n,)."""
    return np.asarray(np.isfinite(maps[0]).all(axis=1))


def _kept(own: Maps, back: Maps, rows: NDArray[np.bool_]) -> list[float]:
    """Return correlation and RMSE (in SDs) of each number with what it was, and the share of equal labels, by label."""
    found: list[float] = []
    for before, after in zip(own[0].T, back[0].T, strict=True):
        error = np.sqrt(np.mean((after - before)[rows] ** 2)) / before[rows].std()
        found += [float(np.corrcoef(before[rows], after[rows])[0, 1]), float(error)]
    for key in LABELS:
        has_label = rows & (own[1][key] > 0)
        found.append(float((own[1][key] == back[1][key])[has_label].mean()))
    return found


def _differences(one: Maps, other: Maps, rows: NDArray[np.bool_]) -> list[float]:
    """Return the largest difference of numbers, in SDs, and the share of labels that differ."""
    apart = np.abs(one[0] - other[0])[rows] / other[0][rows].std(axis=0)
    return [float(apart.max()), float(np.mean([(one[1][key] != other[1][key])[rows].mean() for key in LABELS]))]


def _claim(rows: list[list[Any]]) -> str:
    (own, peer) = (next(row for row in rows if row[0] == name) for name in ("cytomesh", WORKBENCH))
    return (
        f"cytomesh / Workbench: {own[-1] / peer[-1]:.2f} of the time; numbers differ by {own[-3]:.1e} SD at most, "
        f"{own[-2]:.2%} of labels"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(measure, __doc__)
