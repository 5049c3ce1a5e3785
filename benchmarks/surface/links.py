"""Image links of a million positions on real cortex: `python -m benchmarks.surface.links`.

Positions spread evenly over BigBrain's midsurface (left, 164k vertices), sections 1 mm apart. Beside it, in the same
run, dropping each position onto the nearest plane, which is faster and leaves the cortex where that is oblique.
Claim: a million links in under 10 s of processor time, all of them on the midsurface.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.bigbrain.nodes import load_nodes, surfaces
from benchmarks.common import Options, Result, main
from cytomesh.graph.links import LinkSection, Ribbon, link_positions
from cytomesh.graph.nearest import nearest_planes
from cytomesh.study.planes import SectionPlane
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import point_to_surface

COLUMNS = ("links", "positions", "CPU seconds", "linked", "to the midsurface, mean mm", "p95 mm")
SPACING_MM, UM_PER_PX, SIZE_PX = 1.0, 20.0, 12_000
N_MEASURED = 20_000


def measure(options: Options) -> Result:
    """Link positions along the surface and by dropping them onto the nearest plane."""
    built = surfaces(load_nodes(options.bigbrain(), "L", "164k"))
    middle = Mesh(0.5 * (built["pial"].vertices + built["white"].vertices), built["pial"].faces)
    ribbon = Ribbon(built["pial"], middle, built["white"])
    sections = _sections(middle)
    n = 100_000 if options.quick else 1_000_000
    positions, normals = _spread(middle, n)
    link_positions(ribbon, sections, positions[:100], SPACING_MM, 2 * SPACING_MM, normals[:100])

    start = time.process_time()
    links = link_positions(ribbon, sections, positions, SPACING_MM, 2 * SPACING_MM, normals)
    ours = time.process_time() - start
    planes = [section.plane for section in sections]
    start = time.process_time()
    nearest, _ = nearest_planes(planes, planes[0].normal, positions)
    dropped = np.empty_like(positions)
    for k, plane in enumerate(planes):
        here = np.flatnonzero(nearest[:, 0] == k)
        dropped[here] = plane.world(plane.pixels(positions[here]))
    theirs = time.process_time() - start
    few = slice(None, None, max(1, n // N_MEASURED))
    rows: list[list[Any]] = []
    for name, seconds, points, share in (
        ("along the surface", ours, links.points, float(links.is_linked.mean())),
        ("dropped onto the nearest plane", theirs, dropped, 1.0),
    ):
        places = points[few]
        away = point_to_surface(places[np.isfinite(places).all(axis=1)], middle)
        rows.append([name, n, seconds, share, float(away.mean()), float(np.percentile(away, 95))])
    claim = (
        f"{1e6 / n * ours:.1f} s of processor time a million links, on the midsurface;"
        f" dropped points lie {rows[1][4]:.2f} mm beside it on average"
    )
    return Result("Image links on real cortex", COLUMNS, rows, claim, {"n_sections": len(sections)})


def _sections(middle: Mesh) -> list[LinkSection]:
    low, high = middle.vertices[:, 1].min(), middle.vertices[:, 1].max()
    step, half = UM_PER_PX / 1000, SIZE_PX * UM_PER_PX / 2000
    return [
        LinkSection(
            k, SectionPlane(np.column_stack([[step, 0, 0], [0, 0, -step], [-half, y, half]])), (SIZE_PX, SIZE_PX)
        )
        for k, y in enumerate(np.arange(low + SPACING_MM / 2, high, SPACING_MM))
    ]


def _spread(mesh: Mesh, n: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    corners = mesh.faces[generator.choice(mesh.n_faces, n, p=mesh.face_areas / mesh.area_mm2)]
    weights = generator.dirichlet(np.ones(3), n)
    normals = np.einsum("nb,nbx->nx", weights, mesh.vertex_normals[corners])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.einsum("nb,nbx->nx", weights, mesh.vertices[corners]), normals


if __name__ == "__main__":
    main(measure, __doc__)
