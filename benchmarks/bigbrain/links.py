"""Image links on the real section A against the reference file, through the rebuilt surfaces.

The reference puts a node at the middle of its pial and white point projected onto the plane; cytomesh puts it on the
curve in which the plane cuts the midsurface. The two agree for nodes in the plane and part where the cortex is oblique:
the row "true midsurface" is what that difference alone amounts to, and "nearest point" is the least that any link on
the true curve can be away from the reference, whichever way it is found (trimesh and shapely).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import trimesh
from numpy.typing import NDArray

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.bigbrain.prepare import coronal_plane, section_a
from benchmarks.bigbrain.run import built_run
from benchmarks.common import Options, Result, main
from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.storage import load_surface
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.mesh import Mesh

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
            bound = _nearest_on_curve(truth["midthickness"], plane, (pial + white) / 2.0)
            rows.append([f"{side} nearest point of the true curve", len(bound), 1.0, *_percentiles(bound), "-", "-"])
    rebuilt = [row for row in rows if row[0].endswith("rebuilt surfaces")]
    floor = [row for row in rows if row[0].endswith("true curve")]
    claim = (
        f"rebuilt: median {max(row[3] for row in rebuilt):.1f} px, p95 {max(row[4] for row in rebuilt):.1f} px;"
        f" least possible on the true curve: {max(row[3] for row in floor):.1f}, {max(row[4] for row in floor):.1f} px"
    )
    return Result("BigBrain section A: image links against projected mid-points (42 um/px)", COLUMNS, rows, claim)


def _turn(angle_deg: NDArray[np.float64], towards_pial: NDArray[np.float64]) -> NDArray[np.float64]:
    expected = np.degrees(np.arctan2(-towards_pial[:, 1], towards_pial[:, 0]))
    return np.asarray(np.abs((angle_deg - expected + 180.0) % 360.0 - 180.0), np.float64)


def _nearest_on_curve(mesh: Mesh, plane: SectionPlane, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance, px, of points in a section from the curve in which its plane cuts a mesh."""
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    ends = trimesh.intersections.mesh_plane(surface, plane.normal, plane.to_world[:, 2])
    segments = shapely.linestrings(plane.pixels(ends.reshape(-1, 3)).reshape(-1, 2, 2))
    _, distance = shapely.STRtree(segments).query_nearest(
        shapely.points(pixels), return_distance=True, all_matches=False
    )
    return np.asarray(distance, np.float64)


def _row(is_linked: NDArray[np.bool_], pixels: NDArray[np.float64], degrees: NDArray[np.float64]) -> list[Any]:
    found = [each for values in (pixels, degrees) for each in _percentiles(values[is_linked])]
    return [len(is_linked), float(is_linked.mean()), *found]


def _percentiles(values: NDArray[np.float64]) -> list[float]:
    return [float(np.percentile(values, share)) for share in (50, 95)]


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
