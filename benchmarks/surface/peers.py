"""BigBrain surfaces beside what other tools make of the same contours: `python -m benchmarks.surface.peers`.

Left hemisphere, 1 mm sections, one voxel size for all (1/3 mm; 0.5 mm in the quick form: the sections then lie on
slices of the grid, which the peers need). Each method runs in a fresh process: processor seconds after a warm-up for
both surfaces together, peak memory of the process with its libraries. Claim: less error, Euler number 2 and no
crossing triangles, and not slower than the slowest peer.
"""

from __future__ import annotations

from typing import Any

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.surfaces import COLUMNS, compare
from benchmarks.common import Options, Result, main
from benchmarks.surface.alignment import read_contours
from benchmarks.surface.apart import build
from benchmarks.surface.methods import KINDS, METHODS, missing
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.mesh import Mesh

BOTH_WAYS, EULER, PIECES, CROSSING, SECONDS = (1, 3), 5, 6, 7, len(COLUMNS)
LEAST_AREA_MM2 = 1e-9


def measure(options: Options) -> Result:
    """Run all methods on the left hemisphere."""
    settings = SurfaceConfig(voxel_mm=0.5 if options.quick else 1 / 3, edge_length_mm=0.8)
    truth = surfaces(load_nodes(options.bigbrain(), "L", "164k"))
    contours = read_contours(options)
    columns = (*COLUMNS, "CPU seconds", "peak MB")
    rows: list[list[Any]] = []
    found: dict[str, dict[str, list[Any]]] = {}
    for method in METHODS:
        lacking = missing(method)
        if lacking:
            rows.append([f"{method}: skipped, {lacking}", *["-"] * (len(columns) - 1)])
            continue
        built = build(method, contours, settings)
        cost = [built.seconds, built.peak_mb]
        found[method] = {
            kind: [*_score(f"{method}, {kind}", built.surfaces[kind], truth[kind]), *cost] for kind in KINDS
        }
        rows += found[method].values()
    title = f"BigBrain, left: the same contours, {settings.voxel_mm:.2f} mm voxels"
    return Result(title, columns, rows, _claim(found), {"voxel_mm": settings.voxel_mm})


def _score(name: str, built: Mesh, truth: Mesh) -> list[Any]:
    """Return the row; triangles without area count for the topology but have no distance and cross nothing."""
    row = compare(name, Mesh(built.vertices, built.faces[built.face_areas > LEAST_AREA_MM2]), truth)
    row[EULER], row[PIECES] = built.euler_number, built.n_components
    return row


def _claim(found: dict[str, dict[str, list[Any]]]) -> str:
    ours = found["cytomesh"]
    peers = {name: rows for name, rows in found.items() if name != "cytomesh"}
    parts = []
    for kind in KINDS:
        least = min(peers, key=lambda name: _worst(peers[name][kind]))
        parts.append(
            f"{kind}: worse mean distance {_worst(ours[kind]):.3f} mm against {_worst(peers[least][kind]):.3f}"
            f" ({least}), Euler {ours[kind][EULER]} against {peers[least][kind][EULER]},"
            f" crossing pairs {ours[kind][CROSSING]} against {peers[least][kind][CROSSING]}"
        )
    seconds = {name: rows["white"][SECONDS] for name, rows in peers.items()}
    slowest = max(seconds, key=lambda name: seconds[name])
    parts.append(
        f"{ours['white'][SECONDS]:.0f} CPU s against {min(seconds.values()):.0f} to {seconds[slowest]:.0f} s"
        f" (slowest peer, {slowest}: {ours['white'][SECONDS] / seconds[slowest]:.2f} times its time)"
    )
    return "; ".join(parts)


def _worst(row: list[Any]) -> float:
    return max(float(row[i]) for i in BOTH_WAYS)


if __name__ == "__main__":
    main(measure, __doc__)
