"""Image links on the real section A against the reference file, through the rebuilt surfaces.

The reference puts a node at the middle of its pial and white point projected onto the plane; cytomesh puts it on the
curve in which the plane cuts the midsurface. The two agree for nodes in the plane and part where the cortex is oblique:
the row "true midsurface" is what that difference alone amounts to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.prepare import coronal_plane, section_a
from benchmarks.bigbrain.run import built_run
from benchmarks.common import Options, Result, main
from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.storage import load_surface
from cytomesh.study.headers import read_header

MAX_DISTANCE_MM = 0.6
MAX_REACH_MM = 2.0
IN_PLANE_MM = 0.1
COLUMNS = ("nodes", "n", "linked", "median px", "p95 px", "median deg", "p95 deg")


def measure(options: Options) -> Result:
    """Link the reference nodes of both hemispheres (quick: left) and compare pixels and angles."""
    bigbrain = options.bigbrain()
    image = section_a(bigbrain)
    plane = coronal_plane(image.y_mm, image.x0_mm, image.z0_mm)
    section = LinkSection(0, plane, read_header(image.path).shape)
    reference = np.load(bigbrain / "sections" / "coronal_A_node_links.npz", allow_pickle=False)
    rows: list[list[Any]] = []
    with built_run(options) as run:
        for side in ("L",) if options.quick else ("L", "R"):
            truth = surfaces(load_nodes(bigbrain, side, "164k"))
            positions = truth["midthickness"].vertices[reference[f"{side}_vertex"]]
            pial = reference[f"{side}_pial_colrow"].astype(np.float64)
            white = reference[f"{side}_white_colrow"].astype(np.float64)
            graph = f"bigbrain_hemi-{side}"
            built = Ribbon(*(load_surface(run, graph, kind) for kind in ("pial", "midthickness", "white")))
            exact = Ribbon(truth["pial"], truth["midthickness"], truth["white"])
            offset = np.abs(reference[f"{side}_mid_dy_mm"])
            for name, ribbon in (("rebuilt surfaces", built), ("true midsurface", exact)):
                links = link_positions(ribbon, [section], positions, MAX_DISTANCE_MM, MAX_REACH_MM)
                pixels = np.linalg.norm(links.pixels - (pial + white) / 2.0, axis=1)
                degrees = _turn(links.angle_deg, pial - white)
                rows.append([f"{side} {name}", *_row(links.is_linked, pixels, degrees)])
                near = offset <= IN_PLANE_MM
                rows.append(
                    [f"{side} {name}, within 0.1 mm", *_row(links.is_linked[near], pixels[near], degrees[near])]
                )
    rebuilt = [row for row in rows if row[0].endswith("rebuilt surfaces")]
    floor = [row for row in rows if row[0].endswith("true midsurface")]
    claim = (
        f"rebuilt: median {max(row[3] for row in rebuilt):.1f} px, p95 {max(row[4] for row in rebuilt):.1f} px;"
        f" on the true midsurface: {max(row[3] for row in floor):.1f} px, {max(row[4] for row in floor):.1f} px"
    )
    return Result("BigBrain section A: image links against projected mid-points (42 um/px)", COLUMNS, rows, claim)


def _turn(angle_deg: NDArray[np.float64], towards_pial: NDArray[np.float64]) -> NDArray[np.float64]:
    expected = np.degrees(np.arctan2(-towards_pial[:, 1], towards_pial[:, 0]))
    return np.asarray(np.abs((angle_deg - expected + 180.0) % 360.0 - 180.0), np.float64)


def _row(is_linked: NDArray[np.bool_], pixels: NDArray[np.float64], degrees: NDArray[np.float64]) -> list[Any]:
    found = [np.percentile(values[is_linked], share) for values in (pixels, degrees) for share in (50, 95)]
    return [len(is_linked), float(is_linked.mean()), *map(float, found)]


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
