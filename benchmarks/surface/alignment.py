"""BigBrain with sections lost and shaken, with and without alignment: `python -m benchmarks.surface.alignment`.

10 % of the 1 mm sections are removed at random; the others are moved within their planes, up to 0.3 mm along each axis
and 0.3 degrees. Claim: alignment takes most of the loss back, and does no harm where nothing was shaken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.prepare import coronal_plane, read_planes, region
from benchmarks.common import Options, Result, main
from cytomesh.core.random import generator
from cytomesh.surface.alignment import align_sections
from cytomesh.surface.config import AlignmentConfig, SurfaceConfig
from cytomesh.surface.quality import surface_distances
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import PlaneContours

LOST, SHIFT_MM, TURN_DEG = 0.1, 0.3, 0.3
COLUMNS = (
    "left hemisphere",
    "jitter rms mm",
    "white to truth mean mm",
    "p95",
    "from truth mean mm",
    "p95 ",
    "pial to truth mean mm",
    "p95  ",
    "from truth mean mm ",
    "p95   ",
)


def read_contours(options: Options) -> list[PlaneContours]:
    """Read the left hemisphere's contours, in order of y."""
    result = []
    for y_mm, hemispheres in sorted(read_planes(options.bigbrain()).items()):
        plane = coronal_plane(y_mm, -75.0, 80.0)
        rings = hemispheres.get("L", {"pial": [], "white": []})
        result.append(PlaneContours(plane.to_world, region(rings["pial"], plane), region(rings["white"], plane)))
    return result


def shaken(to_world: NDArray[np.float64], centre: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return matrices (n, 3, 3) of coronal planes moved rigidly in x and z, turned about the centre."""
    rng = generator(seed, "jitter")
    result = to_world.copy()
    for matrix in result:
        angle = np.radians(rng.uniform(-TURN_DEG, TURN_DEG))
        turn = np.array([[np.cos(angle), 0.0, np.sin(angle)], [0.0, 1.0, 0.0], [-np.sin(angle), 0.0, np.cos(angle)]])
        matrix[:] = turn @ matrix
        shift = rng.uniform(-SHIFT_MM, SHIFT_MM, 2)
        matrix[:, 2] += centre - turn @ centre + np.array([shift[0], 0.0, shift[1]])
    return result


def remaining_mm(moved: NDArray[np.float64], true: NDArray[np.float64], contours: Sequence[PlaneContours]) -> float:
    """Return the root mean square distance of contour points from their true place, mm, over all sections."""
    squares = []
    for after, before, plane in zip(moved, true, contours, strict=True):
        pixels = shapely.get_coordinates(plane.pial)
        if len(pixels):
            off = pixels @ (after - before)[:, :2].T + (after - before)[:, 2]
            squares.append(float((off**2).sum(axis=1).mean()))
    return float(np.sqrt(np.mean(squares)))


def measure(options: Options) -> Result:
    """Reconstruct the left hemisphere from true, thinned and shaken sections; the quick form uses coarse voxels."""
    settings = SurfaceConfig(voxel_mm=0.8, edge_length_mm=1.5) if options.quick else SurfaceConfig(voxel_mm=0.4)
    truth = surfaces(load_nodes(options.bigbrain(), "L", "164k"))
    every = read_contours(options)
    kept = generator(0, "lost sections").random(len(every)) >= LOST
    contours = [plane for plane, is_kept in zip(every, kept, strict=True) if is_kept]
    true = np.stack([plane.to_world for plane in contours])
    moved = shaken(true, truth["pial"].vertices.mean(axis=0), 0)
    rings = [{"pial": plane.pial, "white": plane.white} for plane in contours]
    align = AlignmentConfig(enabled=True)
    cases: dict[str, NDArray[np.float64]] = {
        "10 % lost": true,
        "10 % lost, aligned": align_sections(true, rings, align).to_world,
        "10 % lost, shaken": moved,
        "10 % lost, shaken, aligned": align_sections(moved, rings, align).to_world,
    }
    rows: list[list[Any]] = []
    for name, matrices in cases.items():
        stack = [PlaneContours(m, plane.pial, plane.white) for m, plane in zip(matrices, contours, strict=True)]
        built = reconstruct(stack, settings)
        row: list[Any] = [name, remaining_mm(matrices, true, contours)]
        for kind in ("white", "pial"):
            distances = surface_distances(getattr(built, kind), truth[kind])
            row += [distances.forward_mean_mm, distances.forward_p95_mm]
            row += [distances.backward_mean_mm, distances.backward_p95_mm]
        rows.append(row)
    before, after = rows[2][1], rows[3][1]
    claim = (
        f"alignment leaves {after:.3f} of {before:.3f} mm rms jitter ({100 * (1 - after / before):.0f} % removed)"
        f" and moves true sections by {rows[1][1]:.3f} mm rms;"
        f" white to truth {rows[0][2]:.3f} -> shaken {rows[2][2]:.3f} -> aligned {rows[3][2]:.3f} mm"
    )
    return Result("BigBrain: lost and shaken sections, with and without alignment", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
