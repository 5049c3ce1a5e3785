"""Surfaces rebuilt from the 1 mm contours against the surfaces that the contours were cut from.

Claim: point-to-surface distances both ways; at most 0.06 mm mean for white and 0.10 mm for pial, Euler number 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.run import built_run
from benchmarks.common import Options, Result, main
from cytomesh.core.files import read_json
from cytomesh.graph.storage import graph_folder, load_surface
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import self_intersections, surface_distances

COLUMNS = (
    "surface",
    "to truth mean mm",
    "p95",
    "from truth mean mm",
    "p95 ",
    "Euler",
    "pieces",
    "crossing pairs",
    "area/true",
    "volume/true",
)


def compare(name: str, built: Mesh, truth: Mesh) -> list[Any]:
    """Return one row of the table."""
    distances = surface_distances(built, truth)
    return [
        name,
        distances.forward_mean_mm,
        distances.forward_p95_mm,
        distances.backward_mean_mm,
        distances.backward_p95_mm,
        built.euler_number,
        built.n_components,
        len(self_intersections(built)),
        built.area_mm2 / truth.area_mm2,
        built.volume_mm3 / truth.volume_mm3,
    ]


def measure(options: Options) -> Result:
    """Compare both hemispheres; the quick form builds at a coarser voxel, left only."""
    bigbrain = options.bigbrain()
    rows: list[list[Any]] = []
    seconds: dict[str, float] = {}
    with built_run(options) as run:
        for hemisphere in ("L",) if options.quick else ("L", "R"):
            truth = surfaces(load_nodes(bigbrain, hemisphere, "164k"))
            graph = f"bigbrain_hemi-{hemisphere}"
            for kind in ("white", "pial"):
                rows.append(compare(f"{hemisphere} {kind}", load_surface(run, graph, kind), truth[kind]))
            seconds[hemisphere] = _seconds(run, graph)
    worst = {kind: max(max(row[1], row[3]) for row in rows if kind in row[0]) for kind in ("white", "pial")}
    claim = (
        f"worst mean distance: white {worst['white']:.3f} mm, pial {worst['pial']:.3f} mm"
        f" (stack of in-plane distance fields, 0.33 mm, left: white 0.087, pial 0.257, Euler -166 and -2286);"
        f" {', '.join(f'{name} {value:.0f} s' for name, value in seconds.items())}"
    )
    return Result("BigBrain: surfaces from 1 mm contours", COLUMNS, rows, claim, {"seconds": seconds})


def _seconds(run: Path, graph: str) -> float:
    return float(read_json(graph_folder(run, graph) / "qc.json")["seconds"])


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
