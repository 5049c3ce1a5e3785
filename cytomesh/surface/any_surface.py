"""Surfaces as other programs write them: GIFTI, FreeSurfer geometry, PLY."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import nibabel.freesurfer as freesurfer
import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import SurfaceError
from cytomesh.core.reading import reading
from cytomesh.core.sides import IN_FILE_NAMES, check_side, side_of
from cytomesh.surface.gifti import SurfaceKind, read_sphere, read_structure, read_surface
from cytomesh.surface.mesh import Mesh

# FreeSurfer's surface RAS is the RAS of a volume whose voxels run left, down and forward, whatever the volume's own
# axes: columns are the steps along its three voxel axes (tkregister).
TKREGISTER = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
FREESURFER_MAGIC = (b"\xff\xff\xfe", b"\xff\xff\xff")
MAX_HEAD_BYTES = 2**16
# Longest side, mm: from a shrew's hemisphere to more than a whale's.
EXTENT_MM = (3.0, 500.0)
# How much of a surface may be missing, as the share of its area that does not cancel out (closed surfaces: 0), so that
# it still says by itself which way is out; of a patch either may be.
MAX_OPEN = 0.3
# Two hemispheres in one mesh: the smaller has at least this share of the other's vertices, and they overlap along x by
# no more than what reaches over the midline.
LEAST_HALF, MIDLINE_MM = 0.7, 5.0


def read_surfaces(paths: Mapping[str, Path], hemisphere: str | None = None) -> dict[SurfaceKind, Mesh]:
    """Read the surfaces of one hemisphere; a midthickness that has no file is half-way between pial and white.

    Parameters
    ----------
    paths : dict of str to Path
        Files of kinds of `SurfaceKind`, midthickness or both pial and white among them; others are passed over.
    hemisphere : {"L", "R"}, optional
        Files that say that they are of the other side are refused.

    Raises
    ------
    SurfaceError
        If a file cannot be read, its triangles are not those of the others, or pial is not outside of white.
    """
    kinds: list[SurfaceKind] = [kind for kind in get_args(SurfaceKind) if kind in paths]
    surfaces = {
        kind: read_any_surface(paths[kind], is_sphere=kind == "sphere", hemisphere=hemisphere) for kind in kinds
    }
    first = kinds[0]
    for kind in kinds[1:]:
        _same_triangles(paths[kind], surfaces[kind], paths[first], surfaces[first])
    if "midthickness" not in surfaces:
        pial, white = surfaces["pial"], surfaces["white"]
        surfaces["midthickness"] = Mesh((pial.vertices + white.vertices) / 2, pial.faces)
    if {"pial", "white"} <= surfaces.keys():
        _check_ribbon(paths["pial"], surfaces["pial"], surfaces["white"], surfaces["midthickness"])
    return surfaces


def stated_side(path: Path) -> str | None:
    """Return the side that a file says it is of: GIFTI by its structure, others by their names."""
    structure = read_structure(path) if path.name.endswith((".gii", ".gii.gz")) else None
    return structure or side_of(path.name, IN_FILE_NAMES)


def read_any_surface(path: str | Path, *, is_sphere: bool = False, hemisphere: str | None = None) -> Mesh:
    """Read a surface; vertex order is kept, and coordinates are scanner RAS, mm.

    Parameters
    ----------
    path : path
        `.gii` (`.gii.gz`), PLY, or FreeSurfer geometry (`lh.pial`), which is told by its first bytes.
    is_sphere : bool
        A sphere has no place in the scanner: its coordinates are taken as they are, of any size.
    hemisphere : str, optional
        "L" or "R": a file that says that it is of the other side is refused.

    Raises
    ------
    SurfaceError
        If the file is none of these, damaged, of the other side, of the size of no brain, or inside out, or its
        triangles are turned differently from each other.

    Examples
    --------
    >>> mesh = read_any_surface("run/graphs/T01_hemi-L/midthickness.surf.gii", hemisphere="L")
    >>> mesh.euler_number, mesh.n_components
    (2, 1)
    """
    path = Path(path)
    if hemisphere not in (None, "L", "R"):
        raise SurfaceError(path, "hemisphere", found=repr(hemisphere), expected="'L' or 'R'")
    mesh = _read(path, is_sphere, hemisphere)
    _check_turned(path, mesh)
    if hemisphere is not None:
        check_side(path, hemisphere)
    if not is_sphere:
        _check_brain(path, mesh)
    return mesh


def _read(path: Path, is_sphere: bool, hemisphere: str | None) -> Mesh:
    with reading(path, SurfaceError, hint="check the path"), path.open("rb") as stream:
        start = stream.read(3)
    if path.name.lower().endswith((".gii", ".gii.gz")):
        return read_sphere(path, hemisphere) if is_sphere else read_surface(path, hemisphere)
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
        mesh = Mesh(vertices, faces)
    has_volume = str(facts.get("valid", "")).startswith("1")
    return mesh if is_sphere or not has_volume else Mesh(_scanner(path, mesh.vertices, facts), mesh.faces)


def _scanner(path: Path, vertices: NDArray[np.float64], facts: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Bring surface RAS into scanner RAS: the volume's own directions and centre (c_ras) in place of tkregister's."""
    axes = np.column_stack([facts[name] for name in ("xras", "yras", "zras")])
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3) or not np.isfinite(facts["cras"]).all():  # NaN, too
        found = f"xras, yras, zras {axes.T.tolist()}, cras {np.asarray(facts['cras']).tolist()}"
        expected, hint = "three directions at right angles, and a centre in mm", "write it again (mris_convert)"
        raise SurfaceError(path, "geometry of the volume", found=found, expected=expected, hint=hint)
    return vertices @ (axes @ np.linalg.inv(TKREGISTER)).T + np.asarray(facts["cras"], np.float64)


def _read_ply(path: Path) -> Mesh:
    found = "a PLY file that is no triangle mesh"  # damaged, or points without triangles
    with reading(path, SurfaceError, found=found, hint="export it again", also=(Exception,)):
        with path.open("rb") as stream:
            head = stream.read(MAX_HEAD_BYTES).partition(b"end_header")[0].decode("ascii", "replace")
        shape = trimesh.load_mesh(path, file_type="ply", process=False)
        mesh = Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces))
    for element, read in (("vertex", mesh.n_vertices), ("face", mesh.n_faces)):
        declared = re.search(rf"^element {element} (\d+)\s*$", head, re.MULTILINE)
        if declared and int(declared[1]) != read:
            found, hint = f"{read} after triangulation", "export it again, as triangles: it is cut off, or has polygons"
            raise SurfaceError(path, f"element {element}", found=found, expected=declared[1], hint=hint)
    return mesh


def _check_ribbon(path: Path, pial: Mesh, white: Mesh, middle: Mesh) -> None:
    """Refuse pial surfaces inside of white ones."""
    outward = np.einsum("nx,nx->n", pial.vertices - white.vertices, middle.vertex_normals)
    if np.median(outward) <= 0:
        inside = float((outward <= 0).mean())
        found = f"pial not outside of white at {inside:.0%} of the vertices, as their triangles face"
        hint = "exchange pial and white, or turn the triangles of all surfaces (wb_command -surface-flip-normals)"
        expected = "white inside pial, triangles counter-clockwise seen from outside"
        raise SurfaceError(path, found=found, expected=expected, hint=hint)


def _check_turned(path: Path, mesh: Mesh) -> None:
    """Refuse triangles that do not all face the same side: curvature and geodesics would be wrong at their edges."""
    start, end = mesh.half_edges.T
    n_twice = start.size - np.unique(start * mesh.n_vertices + end).size
    if n_twice:
        found = f"{n_twice} edges that two triangles run through in the same direction"
        hint = "remove triangles on top of each other, and turn all to one side (trimesh.repair.fix_winding)"
        raise SurfaceError(path, "triangles", found=found, expected="all facing one side", hint=hint)


def _check_brain(path: Path, mesh: Mesh) -> None:
    """Refuse surfaces whose unit is not the mm, of two hemispheres, or whose triangles are seen from inside."""
    extent, (low, high) = float(np.ptp(mesh.vertices, axis=0).max(initial=0.0)), EXTENT_MM
    if not low <= extent <= high:
        found = f"a surface that is {extent:g} mm long"
        hint = "bring its coordinates from their unit into mm (wb_command -surface-apply-affine)"
        raise SurfaceError(path, found=found, expected=f"{low:g} to {high:g} mm, the size of a cortex", hint=hint)
    if len(pieces := _halves(mesh)) == 2:
        found = f"two surfaces that lie side by side, of {pieces[0]:,} and {pieces[1]:,} vertices"
        hint = "write each hemisphere, and its values, to files of its own"
        raise SurfaceError(path, found=found, expected="one hemisphere", hint=hint)
    if mesh.openness <= MAX_OPEN and mesh.volume_mm3 < 0:
        found = f"triangles that are clockwise seen from outside (volume {mesh.volume_mm3:.0f} mm3)"
        hint = (
            "if its coordinates are mirrored, correct them; else turn its triangles (wb_command -surface-flip-normals)"
        )
        raise SurfaceError(path, found=found, expected="triangles counter-clockwise seen from outside", hint=hint)


def _halves(mesh: Mesh) -> list[int]:
    """Return how many vertices two hemispheres in one mesh have, left and right; an empty list if it holds one."""
    _, piece = connected_components(mesh.adjacency(), directed=False)
    sizes = np.bincount(piece[np.unique(mesh.faces)])
    first, second = np.argsort(-sizes, kind="stable")[:2].tolist() if len(sizes) > 1 else (0, 0)
    if first == second or sizes[second] < LEAST_HALF * sizes[first]:
        return []
    x = {each: mesh.vertices[piece == each, 0] for each in (first, second)}
    left, right = sorted(x, key=lambda each: float(x[each].mean()))
    return sizes[[left, right]].tolist() if x[left].max() <= x[right].min() + MIDLINE_MM else []


def _same_triangles(path: Path, mesh: Mesh, other_path: Path, other: Mesh) -> None:
    if mesh.n_vertices != other.n_vertices or not np.array_equal(mesh.faces, other.faces):
        found = f"{mesh.n_vertices} vertices and {mesh.n_faces} triangles"
        if mesh.n_vertices == other.n_vertices:
            found += ", which join other vertices"
        expected = f"the {other.n_vertices} vertices and {other.n_faces} triangles of {other_path.name}"
        hint = "take all surfaces from one mesh (as FreeSurfer and fs_LR have them)"
        raise SurfaceError(path, found=found, expected=expected, hint=hint)
