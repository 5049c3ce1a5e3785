"""fsaverage5 cut obliquely at unequal spacing and rebuilt: `python -m benchmarks.surface.oblique`.

The white and pial surfaces that come with nilearn, cut by planes 30 degrees off coronal, 0.5 to 1.5 mm apart at random.
Their triangles are about 4 mm wide, with edges as sharp as that. White and pial coincide on the medial wall, where
cytomesh keeps its least thickness (0.25 mm) between them; nothing is excluded from the distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from benchmarks.bigbrain.surfaces import COLUMNS, compare
from benchmarks.common import Options, Result, main
from cytomesh.core.random import generator
from cytomesh.phantom.slicing import cut
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import self_intersections
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import PlaneContours

TILT_DEG, GAPS_MM, MM_PER_PX = 30.0, (0.5, 1.5), 0.05


def read_truth(hemisphere: str) -> dict[str, Mesh]:
    """Return white and pial of fsaverage5."""
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    paths = fetch_surf_fsaverage("fsaverage5")  # in the package: nothing is downloaded
    meshes = {kind: load_surf_mesh(paths[f"{kind}_{hemisphere}"]) for kind in ("white", "pial")}
    return {kind: Mesh(mesh.coordinates, mesh.faces) for kind, mesh in meshes.items()}


def oblique_planes(mesh: Mesh, seed: int) -> NDArray[np.float64]:
    """Return matrices (n, 3, 3) of parallel planes, 30 degrees off coronal, that cover a mesh at unequal spacing."""
    tilt = np.radians(TILT_DEG)
    right, up = np.array([1.0, 0.0, 0.0]), np.array([0.0, np.sin(tilt), np.cos(tilt)])
    normal = np.cross(right, up)
    along = mesh.vertices @ normal
    gaps = generator(seed, "gaps").uniform(*GAPS_MM, int(np.ptp(along) / GAPS_MM[0]) + 2)
    places = along.min() + np.cumsum(gaps) - gaps[0] / 2.0
    corner = right * (mesh.vertices @ right).min() + up * (mesh.vertices @ up).min()
    steps = MM_PER_PX * np.column_stack([right, up])
    return np.stack([np.column_stack([steps, corner + normal * at]) for at in places[places < along.max()]])


def section(mesh: Mesh, to_world: NDArray[np.float64]) -> MultiPolygon:
    """Return the inside of a mesh in a plane, pixels; even-odd, as nested rings are holes."""
    frame = to_world[:, :2] / MM_PER_PX
    normal = np.cross(frame[:, 0], frame[:, 1])
    inside = MultiPolygon()
    for ring in cut(mesh.vertices, mesh.faces, (mesh.vertices - to_world[:, 2]) @ normal):
        if len(ring) >= 3:
            pixels = (ring - to_world[:, 2]) @ frame / MM_PER_PX
            inside = inside.symmetric_difference(shapely.make_valid(Polygon(pixels)))
    return MultiPolygon([part for part in shapely.get_parts(inside) if isinstance(part, Polygon) and part.area > 0.0])


def measure(options: Options) -> Result:
    """Cut and rebuild both hemispheres; the quick form the left only, with coarse voxels."""
    settings = SurfaceConfig(voxel_mm=0.8, edge_length_mm=1.5) if options.quick else SurfaceConfig(voxel_mm=0.4)
    rows: list[list[Any]] = []
    crossing: dict[str, int] = {}
    for hemisphere in ("left",) if options.quick else ("left", "right"):
        truth = read_truth(hemisphere)
        planes = oblique_planes(truth["pial"], 0)
        contours = [PlaneContours(m, section(truth["pial"], m), section(truth["white"], m)) for m in planes]
        built = reconstruct(contours, settings)
        for kind in ("white", "pial"):
            rows.append(compare(f"{hemisphere} {kind}", getattr(built, kind), truth[kind]))
            crossing[f"{hemisphere} {kind}"] = len(self_intersections(truth[kind]))
    worst = {kind: max(max(row[1], row[3]) for row in rows if kind in row[0]) for kind in ("white", "pial")}
    claim = (
        f"worst mean distance: white {worst['white']:.3f} mm, pial {worst['pial']:.3f} mm;"
        f" crossing pairs of the input: {', '.join(f'{name} {n}' for name, n in crossing.items())}"
    )
    title = f"fsaverage5 cut at {TILT_DEG:.0f} degrees, {GAPS_MM[0]} to {GAPS_MM[1]} mm apart"
    return Result(title, COLUMNS, rows, claim, {"crossing_pairs_of_input": crossing, "voxel_mm": settings.voxel_mm})


if __name__ == "__main__":
    main(measure, __doc__)
