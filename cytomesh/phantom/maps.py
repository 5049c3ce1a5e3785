"""Surfaces, maps and areas as other programs write them, to try `cytomesh graph import` with: no sections, no images.

Maps are the thickness of the six layers in mm, as the phantom's areas have them, with noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from trimesh.creation import icosahedron

from cytomesh.core.files import clear_orphans
from cytomesh.core.labels import LabelTable
from cytomesh.core.random import generator
from cytomesh.phantom.areas import area_name, draw_atlas
from cytomesh.phantom.fields import smooth_field
from cytomesh.phantom.geometry import MEDIAL_WALL_MM, PhantomCortex, largest_patch
from cytomesh.phantom.profiles import LAYERS, draw_profiles
from cytomesh.register.spherical import SphereLocator
from cytomesh.surface.annot import write_annot
from cytomesh.surface.cifti import write_cifti_labels, write_cifti_scalars
from cytomesh.surface.formats import FREESURFER_SIDE, write_freesurfer, write_morphometry
from cytomesh.surface.fsaverage import fsaverage5
from cytomesh.surface.gifti import SurfaceKind, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh, unit

Style = Literal["freesurfer", "hcp"]
RADIUS_MM = 100.0
HCP_FREQUENCY = 57
"""Parts of an icosahedron's edges: 10 * 57**2 + 2 = 32,492 vertices, as HCP's 32k meshes have."""
SMOOTH_SD, NODE_SD = 0.06, 0.15
"""Noise of the logarithm of a layer's thickness: smooth over the sheet, and of each vertex alone."""
LAYER_MAPS = tuple(f"layer_{name}" for name in LAYERS)
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class PhantomMaps:
    """What is known of one hemisphere's n vertices.

    Parameters
    ----------
    surfaces : dict of str to Mesh
        `pial`, `white` and `sphere` (radius 100), mm.
    is_cortex : (n,) bool
        False at the medial wall.
    labels : (n,) int32
        Areas, 0 at the medial wall; those of one number lie at mirrored places of both sides.
    maps : dict of str to (n,) float64
        Thickness of each layer, mm; 0 at the medial wall.
    """

    surfaces: dict[SurfaceKind, Mesh]
    is_cortex: NDArray[np.bool_]
    labels: NDArray[np.int32]
    maps: dict[str, NDArray[np.float64]]

    @property
    def midsurface(self) -> Mesh:
        """Half-way between pial and white, mm."""
        pial, white = self.surfaces["pial"], self.surfaces["white"]
        return Mesh(0.5 * (pial.vertices + white.vertices), pial.faces)


def draw_maps(hemisphere: str, style: Style, n_areas: int = 20, seed: int = 0) -> PhantomMaps:
    """Draw surfaces, areas and maps of a hemisphere: on fsaverage5's 10,242 vertices, or on HCP's number, 32,492."""
    cortex, sphere = _cortex(hemisphere), _sphere(hemisphere, style)
    locator = SphereLocator(Mesh(cortex.sphere, cortex.faces))
    pial, white, wall = (
        locator.interpolate(sphere.vertices, values)
        for values in (cortex.pial, cortex.white, cortex.is_medial_wall[:, None].astype(np.float64))
    )
    is_cortex = wall[:, 0] < 0.5
    left = _cortex("L")
    atlas, seeds = draw_atlas(left, n_areas, seed)
    labels = _of_nearest(left, atlas, sphere.vertices * (1.0 if hemisphere == "L" else MIRROR))
    labels[~is_cortex] = 0
    profiles = draw_profiles(left.sphere[seeds], 1.0, seed)
    total = np.maximum(np.linalg.norm(pial - white, axis=1), MEDIAL_WALL_MM)
    thickness = profiles.thickness[labels] * total[:, None]
    smooth = smooth_field(seed, "maps", hemisphere, rms=SMOOTH_SD, wavelength=(0.3, 0.9), components=len(LAYERS))
    noise = generator(seed, "maps", hemisphere).normal(0, NODE_SD, thickness.shape)
    thickness *= np.exp(smooth(sphere.vertices) + noise) * is_cortex[:, None]
    surfaces: dict[SurfaceKind, Mesh] = {
        "pial": Mesh(pial, sphere.faces),
        "white": Mesh(white, sphere.faces),
        "sphere": Mesh(RADIUS_MM * sphere.vertices, sphere.faces),
    }
    return PhantomMaps(surfaces, is_cortex, labels, dict(zip(LAYER_MAPS, thickness.T, strict=True)))


def write_phantom_maps(out: Path, style: Style, *, n_areas: int = 20, seed: int = 0) -> dict[str, Any]:
    """Write both hemispheres of one brain.

    Parameters
    ----------
    out : Path
        Folder.
    style : {"freesurfer", "hcp"}
        `surf/lh.pial`, `surf/lh.layer_I`, `label/lh.areas.annot`, ... on fsaverage5; or, with 32,492 vertices a side,
        `L.pial.32k.surf.gii`, `layers.32k.dscalar.nii`, `areas.32k.dlabel.nii` (medial wall left out), ...
    n_areas : int
    seed : int

    Returns
    -------
    dict
        Vertices of a side, those in cortex, areas, files.
    """
    sides = {side: draw_maps(side, style, n_areas, seed) for side in "LR"}
    table = LabelTable.from_names([area_name(i) for i in range(1, n_areas + 1)])
    for folder in (out, out / "surf", out / "label"):
        clear_orphans(folder)
    (_write_freesurfer if style == "freesurfer" else _write_hcp)(out, sides, table)
    return {
        "vertices": len(sides["L"].labels),
        "in_cortex": {side: int(known.is_cortex.sum()) for side, known in sides.items()},
        "areas": n_areas,
        "files": sum(path.is_file() for path in out.rglob("*")),
    }


def _write_freesurfer(out: Path, sides: Mapping[str, PhantomMaps], table: LabelTable) -> None:
    for folder in ("surf", "label"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for side, known in sides.items():
        prefix = FREESURFER_SIDE[side]
        for kind, mesh in known.surfaces.items():
            write_freesurfer(out / "surf" / f"{prefix}.{kind}", mesh)
        total = np.sum(list(known.maps.values()), axis=0)
        for name, values in {**known.maps, "thickness": total}.items():
            write_morphometry(out / "surf" / f"{prefix}.{name}", values, known.surfaces["pial"].n_faces)
        write_annot(out / "label" / f"{prefix}.areas.annot", known.labels, table)


def _write_hcp(out: Path, sides: Mapping[str, PhantomMaps], table: LabelTable) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for side, known in sides.items():
        for kind, mesh in known.surfaces.items():
            write_surface(out / f"{side}.{kind}.32k.surf.gii", mesh, side, kind)
        write_scalars(out / f"{side}.atlasroi.32k.shape.gii", {"cortex": known.is_cortex}, side)
    is_cortex = {side: known.is_cortex for side, known in sides.items()}
    write_cifti_scalars(out / "layers.32k.dscalar.nii", {side: known.maps for side, known in sides.items()}, is_cortex)
    labels = {side: known.labels for side, known in sides.items()}
    write_cifti_labels(out / "areas.32k.dlabel.nii", labels, table, "areas", is_cortex)


@cache
def _cortex(hemisphere: str) -> PhantomCortex:
    """Return fsaverage5 as it is: nobody cuts it into sections, so that banks may touch."""
    surfaces = fsaverage5(hemisphere)
    pial, white, sphere = (surfaces[kind].vertices for kind in ("pial", "white", "sphere"))
    is_thin = np.linalg.norm(pial - white, axis=1) < MEDIAL_WALL_MM
    faces = surfaces["pial"].faces
    return PhantomCortex(pial, white, faces, unit(sphere), largest_patch(faces, is_thin))


def _sphere(hemisphere: str, style: Style) -> Mesh:
    """Return the mesh of a style as a unit sphere."""
    if style == "hcp":
        return divided_icosahedron(HCP_FREQUENCY)
    cortex = _cortex(hemisphere)
    return Mesh(cortex.sphere, cortex.faces)


def divided_icosahedron(frequency: int) -> Mesh:
    """Return a unit sphere of 10 * frequency**2 + 2 vertices: an icosahedron with its faces divided evenly."""
    base = icosahedron()
    first, second = np.array([(i, j) for i in range(frequency + 1) for j in range(frequency + 1 - i)]).T
    number = {(int(i), int(j)): k for k, (i, j) in enumerate(zip(first, second, strict=True))}
    shares = np.column_stack([frequency - first - second, first, second]) / frequency
    upright = [(number[i, j], number[i + 1, j], number[i, j + 1]) for i, j in number if i + j < frequency]
    turned = [(number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]) for i, j in number if i + j < frequency - 1]
    grid = np.array(upright + turned)
    points = np.concatenate([unit(shares @ np.asarray(base.vertices)[face]) for face in base.faces])
    faces = np.concatenate([grid + k * len(shares) for k in range(len(base.faces))])
    # points on the edges of the icosahedron are there once for each of its faces
    _, kept, index = np.unique(np.rint(points * 1e7), axis=0, return_index=True, return_inverse=True)
    return Mesh(points[kept], index.reshape(-1)[faces])


def _of_nearest(cortex: PhantomCortex, labels: NDArray[np.int32], directions: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the labels of the nearest vertices of the cortex, of those that have one."""
    labelled = np.flatnonzero(labels)
    _, nearest = cKDTree(cortex.sphere[labelled]).query(directions)
    return labels[labelled[nearest]]
