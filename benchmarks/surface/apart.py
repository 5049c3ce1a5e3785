"""Build surfaces in a fresh process: processor seconds after a warm-up, and the peak memory of that process.

Processor time, not the clock: other programs on the machine would count for whichever method meets them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from benchmarks.common import peak_memory_mb
from benchmarks.surface.methods import KINDS, METHODS, Surfaces
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.stack import PlaneContours

PROGRAM = "from benchmarks.surface.apart import work; work(sys.argv[1], sys.argv[2], sys.argv[3])"


@dataclass(frozen=True)
class Built:
    """What a method made of the contours, in how many processor seconds and MB (of the whole process)."""

    surfaces: Surfaces
    seconds: float
    peak_mb: float


def build(method: str, contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Built:
    """Run a method of `METHODS` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        save_contours(Path(folder) / "contours.npz", contours)
        peak_mb = peak_memory_mb(PROGRAM, method, folder, settings.model_dump_json())
        with np.load(Path(folder) / "surfaces.npz", allow_pickle=False) as data:
            surfaces = {kind: Mesh(data[f"{kind}_vertices"], data[f"{kind}_faces"]) for kind in KINDS}
            return Built(surfaces, float(data["seconds"]), peak_mb)


def work(method: str, folder: str, settings: str) -> None:
    """Build from the contours in a folder and write the surfaces beside them; runs in the process that is measured."""
    config = SurfaceConfig.model_validate_json(settings)
    METHODS[method](small_body(), SurfaceConfig(voxel_mm=0.5, edge_length_mm=1.2))
    contours = load_contours(Path(folder) / "contours.npz")
    start = time.process_time()
    surfaces = METHODS[method](contours, config)
    seconds = time.process_time() - start
    arrays = {
        f"{kind}_{part}": getattr(mesh, part) for kind, mesh in surfaces.items() for part in ("vertices", "faces")
    }
    np.savez(Path(folder) / "surfaces.npz", seconds=seconds, **arrays)


def save_contours(path: Path, contours: Sequence[PlaneContours]) -> None:
    """Write contours as plain arrays."""
    arrays = {"to_world": np.stack([plane.to_world for plane in contours])}
    for kind in KINDS:
        regions = [getattr(plane, kind) for plane in contours]
        _, points, (rings, polygons, parts) = shapely.to_ragged_array(regions)
        arrays |= {f"{kind}_{n}": a for n, a in enumerate((points, rings, polygons, parts))}
    np.savez(path, **arrays)


def load_contours(path: Path) -> list[PlaneContours]:
    """Read what `save_contours` wrote."""
    with np.load(path, allow_pickle=False) as data:
        regions = [
            shapely.from_ragged_array(
                shapely.GeometryType.MULTIPOLYGON, data[f"{kind}_0"], [data[f"{kind}_{n}"] for n in (1, 2, 3)]
            )
            for kind in ("pial", "white")
        ]
        return [PlaneContours(*one) for one in zip(data["to_world"], *regions, strict=True)]


def small_body() -> list[PlaneContours]:
    """Return two nested spheres in a few sections: enough to compile everything."""
    planes = []
    for height in np.arange(-4.5, 5.0):
        to_world = np.column_stack([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, height]])
        planes.append(PlaneContours(to_world, _disc(25.0 - height**2), _disc(9.0 - height**2)))
    return planes


def _disc(radius2: float) -> shapely.MultiPolygon:
    if radius2 <= 0.0:
        return shapely.MultiPolygon()
    return shapely.MultiPolygon([shapely.Point(0.0, 0.0).buffer(10.0 * np.sqrt(radius2))])
