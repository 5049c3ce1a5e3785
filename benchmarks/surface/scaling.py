"""Time and peak memory against the number of sections: `python -m benchmarks.surface.scaling`.

Sections of a folded tube with round ends, 24 mm across, 0.5 mm voxels, 1 mm edges; 50, 200, 800 and 2,000 sections
(quick: 50 and 200). Two series: `longer`, 0.5 mm apart, so that the body grows with the number of sections; and
`finer`, 100 mm of the body cut ever more finely, so that volume and surface stay as they are. Each number is a fresh
process: processor seconds after a warm-up, peak memory with all libraries. Claim: near linear.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from benchmarks.common import Options, Result, main, peak_memory_mb
from benchmarks.surface.apart import build
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.stack import PlaneContours

RADIUS_MM, CORTEX_MM, FOLDS, FOLD_DEPTH, TWIST_PER_MM = 12.0, 2.5, 6, 0.15, 0.05
SPACING_MM, LENGTH_MM, MM_PER_PX, N_POINTS = 0.5, 100.0, 0.02, 360
SETTINGS = SurfaceConfig(voxel_mm=0.5, edge_length_mm=1.0)
COLUMNS = ("series", "sections", "spacing mm", "nodes", "CPU seconds", "ms a section", "peak MB", "MB over libraries")


def folded_tube(n_sections: int, spacing_mm: float) -> list[PlaneContours]:
    """Return sections of a tube whose folds run along it in a spiral, rounded at both ends."""
    half = n_sections * spacing_mm / 2.0
    planes = []
    for height in (np.arange(n_sections) + 0.5) * spacing_mm - half:
        to_world = np.column_stack([[MM_PER_PX, 0.0, 0.0], [0.0, MM_PER_PX, 0.0], [0.0, 0.0, height]])
        pial = _ring(height, half, RADIUS_MM)
        planes.append(PlaneContours(to_world, pial, _ring(height, half - CORTEX_MM, RADIUS_MM - CORTEX_MM)))
    return planes


def _ring(height: float, half: float, radius: float) -> shapely.MultiPolygon:
    beyond = max(abs(height) - (half - radius), 0.0)
    if beyond >= radius:
        return shapely.MultiPolygon()
    angle = np.linspace(0.0, 2.0 * np.pi, N_POINTS, endpoint=False)
    folds = 1.0 + FOLD_DEPTH * np.cos(FOLDS * angle + TWIST_PER_MM * height)
    r = np.sqrt(radius**2 - beyond**2) * folds / MM_PER_PX
    return shapely.MultiPolygon([shapely.Polygon(np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1))])


def measure(options: Options) -> Result:
    """Reconstruct ever longer and ever more finely cut bodies."""
    libraries = peak_memory_mb("import benchmarks.surface.apart")
    rows: list[list[Any]] = []
    claims = []
    counts = (50, 200) if options.quick else (50, 200, 800, 2000)
    for series in ("longer", "finer"):
        here: list[list[Any]] = []
        for n in counts:
            spacing = SPACING_MM if series == "longer" else LENGTH_MM / n
            built = build("cytomesh", folded_tube(n, spacing), SETTINGS)
            nodes = built.surfaces["pial"].n_vertices
            cost = [built.seconds, 1e3 * built.seconds / n, built.peak_mb, built.peak_mb - libraries]
            here.append([series, n, spacing, nodes, *cost])
        claims.append(
            f"{series}: {counts[-1] // counts[0]} times the sections take {here[-1][4] / here[0][4]:.1f} times the time"
            f" and {here[-1][7] / here[0][7]:.1f} times the memory, {here[-1][6]:.0f} MB"
        )
        rows += here
    title = "Time and memory against the number of sections"
    return Result(title, COLUMNS, rows, "; ".join(claims), {"libraries_mb": libraries})


if __name__ == "__main__":
    main(measure, __doc__)
