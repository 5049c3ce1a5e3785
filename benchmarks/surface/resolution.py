"""Time, memory and error against the voxel size on real cortex: `python -m benchmarks.surface.resolution`.

BigBrain (left), 1 mm sections, voxels of 0.5, 0.33 and 0.2 mm (quick: 0.8 and 0.5), edges of 0.8 mm. Each number is a
fresh process: processor seconds after a warm-up, peak memory with all libraries. Claim: a hemisphere at 0.2 mm in
under 3 GB.
"""

from __future__ import annotations

from typing import Any

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.surfaces import compare
from benchmarks.common import Options, Result, main
from benchmarks.surface.alignment import read_contours
from benchmarks.surface.apart import build
from benchmarks.surface.methods import KINDS
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.stack import stack_contours

COLUMNS = ("voxel mm", "voxels", "nodes", "CPU seconds", "peak MB", "white, worse mean mm", "pial, worse mean mm")


def measure(options: Options) -> Result:
    """Reconstruct the left hemisphere at several voxel sizes."""
    truth = surfaces(load_nodes(options.bigbrain(), "L", "164k"))
    contours = read_contours(options)
    rows: list[list[Any]] = []
    for voxel_mm in (0.8, 0.5) if options.quick else (0.5, 1 / 3, 0.2):
        built = build("cytomesh", contours, SurfaceConfig(voxel_mm=voxel_mm, edge_length_mm=0.8))
        shape = stack_contours(contours, voxel_mm).grid.shape
        worse = []
        for kind in KINDS:
            row = compare(kind, built.surfaces[kind], truth[kind])
            worse.append(max(row[1], row[3]))
        nodes = built.surfaces["pial"].n_vertices
        rows.append([f"{voxel_mm:.2f}", " x ".join(map(str, shape)), nodes, built.seconds, built.peak_mb, *worse])
    claim = f"{rows[-1][0]} mm voxels: {rows[-1][4]:.0f} MB, {rows[-1][3]:.0f} s of processor time"
    return Result("BigBrain, left: voxel size", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
