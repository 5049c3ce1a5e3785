"""Surfaces as other programs write them: GIFTI, FreeSurfer geometry, PLY."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import nibabel.freesurfer as freesurfer
import numpy as np
import trimesh
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.reading import reading
from cytomesh.surface.gifti import Hemisphere, SurfaceKind, read_sphere, read_structure, read_surface
from cytomesh.surface.mesh import Mesh

# FreeSurfer's surface RAS is the RAS of a volume whose voxels run left, down and forward, whatever the volume's own
# axes: columns are the steps along its three voxel axes (tkregister).
TKREGISTER = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
FREESURFER_MAGIC = (b"\xff\xff\xfe", b"\xff\xff\xff")
FREESURFER_SIDES: dict[str, Hemisphere] = {"lh.": "L", "rh.": "R"}


def read_surfaces(paths: Mapping[str, Path]) -> dict[SurfaceKind, Mesh]:
    """Read the surfaces of one hemisphere; a midthickness that has no file is half-way between pial and white.

    Parameters
    ----------
    paths : dict of str to Path
        Files of kinds of `SurfaceKind`, midthickness or both pial and white among them; others are passed over.

    Raises
    ------
    SurfaceError
        If a file cannot be read, or its triangles are not those of the others.
    """
    kinds: list[SurfaceKind] = [kind for kind in get_args(SurfaceKind) if kind in paths]
    surfaces = {kind: read_any_surface(paths[kind], is_sphere=kind == "sphere") for kind in kinds}
    first = kinds[0]
    for kind in kinds[1:]:
        _same_triangles(paths[kind], surfaces[kind], paths[first], surfaces[first])
    if "midthickness" not in surfaces:
        pial, white = surfaces["pial"], surfaces["white"]
        surfaces["midthickness"] = Mesh((pial.vertices + white.vertices) / 2, pial.faces)
    return surfaces


def stated_side(path: Path) -> Hemisphere | None:
    """Return the side that a file says it is of: GIFTI by its structure, others by FreeSurfer's lh. and rh."""
    structure = read_structure(path) if path.name.endswith((".gii", ".gii.gz")) else None
    return structure or FREESURFER_SIDES.get(path.name[:3])


def read_any_surface(path: Path, *, is_sphere: bool = False) -> Mesh:
    """Read a surface; vertex order is kept, and coordinates are scanner RAS, mm.

    Parameters
    ----------
    path : Path
        `.gii` (`.gii.gz`), PLY, or FreeSurfer geometry (`lh.pial`), which is told by its first bytes.
    is_sphere : bool
        A sphere has no place in the scanner: its coordinates are taken as they are.

    Raises
    ------
    SurfaceError
        If the file is none of these, or damaged.
    """
    with reading(path, SurfaceError, hint="check the path"), path.open("rb") as stream:
        start = stream.read(3)
    if path.name.endswith((".gii", ".gii.gz")):
        return read_sphere(path) if is_sphere else read_surface(path)
    if start in FREESURFER_MAGIC:
        return _read_freesurfer(path, is_sphere)
    if start == b"ply":
        return _read_ply(path)
    expected = "GIFTI (.surf.gii), FreeSurfer geometry (lh.pial) or PLY"
    raise SurfaceError(path, found="no surface that is known", expected=expected, hint="convert it (mris_convert)")


def _read_freesurfer(path: Path, is_sphere: bool) -> Mesh:
    with (
        reading(path, SurfaceError, found="damaged FreeSurfer geometry", hint="copy it again", also=(Exception,)),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # about files without a volume, which is checked below
        vertices, faces, facts = freesurfer.read_geometry(path, read_metadata=True)
    vertices = np.asarray(vertices, np.float64)
    has_volume = str(facts.get("valid", "")).startswith("1")
    return Mesh(vertices if is_sphere or not has_volume else _scanner(vertices, facts), faces.astype(np.int64))


def _scanner(vertices: NDArray[np.float64], facts: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Bring surface RAS into scanner RAS: the volume's own directions and centre (c_ras) in place of tkregister's."""
    axes = np.column_stack([facts[name] for name in ("xras", "yras", "zras")])
    return vertices @ (axes @ np.linalg.inv(TKREGISTER)).T + np.asarray(facts["cras"], np.float64)


def _read_ply(path: Path) -> Mesh:
    found = "a PLY file that is no triangle mesh"  # damaged, or points without triangles
    with reading(path, SurfaceError, found=found, hint="export it again", also=(Exception,)):
        shape = trimesh.load_mesh(path, file_type="ply", process=False)
        return Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))


def _same_triangles(path: Path, mesh: Mesh, other_path: Path, other: Mesh) -> None:
    if mesh.n_vertices != other.n_vertices or not np.array_equal(mesh.faces, other.faces):
        found = f"{mesh.n_vertices} vertices and {mesh.n_faces} triangles"
        if mesh.n_vertices == other.n_vertices:
            found += ", which join other vertices"
        expected = f"the {other.n_vertices} vertices and {other.n_faces} triangles of {other_path.name}"
        hint = "take all surfaces from one mesh (as FreeSurfer and fs_LR have them)"
        raise SurfaceError(path, found=found, expected=expected, hint=hint)
