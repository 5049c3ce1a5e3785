"""BigBrain from every, every 2nd and every 5th section: `python -m benchmarks.surface.sparse_sections`.

Left hemisphere, 1 mm between sections. Nothing is excluded from the distances; the flat cut of the medial wall is in
the truth too. Shows what is lost with spacing, and that topology is not.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.surfaces import COLUMNS, compare
from benchmarks.common import Options, Result, main
from benchmarks.surface.alignment import read_contours
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.reconstruct import reconstruct

STEPS = {"every": 1, "every 2nd": 2, "every 5th": 5}


def measure(options: Options) -> Result:
    """Reconstruct the left hemisphere from fewer and fewer sections; the quick form uses coarse voxels."""
    settings = SurfaceConfig(voxel_mm=0.8, edge_length_mm=1.5) if options.quick else SurfaceConfig(voxel_mm=0.5)
    truth = surfaces(load_nodes(options.bigbrain(), "L", "164k"))
    contours = read_contours(options)
    rows: list[list[Any]] = []
    for name, step in STEPS.items():
        start = time.perf_counter()
        built = reconstruct(contours[::step], settings)
        seconds = time.perf_counter() - start
        for kind in ("white", "pial"):
            rows.append([*compare(f"{name}, {kind}", getattr(built, kind), truth[kind]), seconds])
    lost = ", ".join(f"{row[0]} {max(row[1], row[3]) / max(first[1], first[3]):.1f}" for first, row in _pairs(rows))
    claim = f"worse mean distance over that from every section: {lost}; Euler numbers {sorted({r[5] for r in rows})}"
    title = f"BigBrain, left: fewer sections, {settings.voxel_mm} mm voxels"
    return Result(title, (*COLUMNS, "seconds"), rows, claim)


def _pairs(rows: list[list[Any]]) -> list[tuple[list[Any], list[Any]]]:
    return [(rows[n % 2], row) for n, row in enumerate(rows) if n >= 2]


if __name__ == "__main__":
    main(measure, __doc__)
