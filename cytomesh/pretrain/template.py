"""The reference space's midsurface: where geodesic distances between patches of any brain are measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.distributed import World
from cytomesh.core.errors import StudyError
from cytomesh.core.files import clear_partial, digest
from cytomesh.core.progress import log
from cytomesh.core.random import generator
from cytomesh.core.run import lock
from cytomesh.graph.geodesics import LocalGeodesics, load_geodesics, local_geodesics, save_geodesics
from cytomesh.pretrain.pool import PatchPool
from cytomesh.study.study import Study
from cytomesh.surface.gifti import read_surface
from cytomesh.surface.mesh import Mesh

# A patch stands for the nearest vertex: triangles are halved until that is near enough.
MAX_EDGE_MM = 1.5
# Brains differ from the template by millimetres; by more, template and transforms do not belong together.
MAX_OFFSET_MM = 10.0
# As a whole, brains that were registered lie on it to within 2 mm.
MAX_SHIFT_MM = 4.0
SHIFT_PATCHES = 4000
SHIFT_ROUNDS = 30
SHIFT_STEP_MM = 0.01
# Opposite normals are as different as places 20 mm apart: more than the banks of a sulcus are.
NORMAL_MM = 10.0


def place_on_template(pool: PatchPool, study: Study) -> tuple[PatchPool, Mesh]:
    """Find the nearest vertex of the reference midsurface for every patch.

    Returns
    -------
    pool : PatchPool
        With `vertex`.
    mesh : Mesh
        The midsurfaces of all hemispheres that are needed, one after the other.

    Raises
    ------
    StudyError
        If the study declares no template of a hemisphere, if most patches lie far from it, or if those of a brain
        would have to be moved as a whole to lie on it.
    """
    meshes, vertex, first = [], np.empty(len(pool), np.int64), 0
    for side, rows in (("L", ~pool.is_right), ("R", pool.is_right)):
        if not rows.any():
            continue
        mesh = reference_midsurface(study, side)
        offset, nearest = cKDTree(mesh.vertices).query(pool.position[rows])
        if np.median(offset) > MAX_OFFSET_MM:
            found = f"patches {np.median(offset):.0f} mm from it (median)"
            hint = "is the template in the reference space, and to_reference the transform to it, in mm?"
            raise StudyError(study.path, f"space.template.{side}", found=found, hint=hint)
        _check_shift(pool, rows, study, side, mesh)
        vertex[rows] = first + nearest
        meshes.append(mesh)
        first += mesh.n_vertices
    return replace(pool, vertex=vertex), join(meshes)


def _check_shift(pool: PatchPool, rows: NDArray[np.bool_], study: Study, side: str, mesh: Mesh) -> None:
    """Raise StudyError if a brain's patches are off by a common shift, as by a space whose origin is another."""
    for brain in np.unique(pool.brain[rows]):
        own = np.flatnonzero(rows & (pool.brain == brain))
        shift = shift_onto(mesh, pool.position[own], pool.normal[own])
        if np.linalg.norm(shift) > MAX_SHIFT_MM:
            name = pool.sections[pool.section[own[0]]].section.brain
            found = f"patches of {name} off by a shift of {', '.join(f'{mm:.1f}' for mm in -shift)} mm (x, y, z)"
            hint = "is the template in the reference space (FreeSurfer's surfaces are off by c_ras), and to_reference "
            raise StudyError(
                study.path,
                f"space.template.{side}",
                found=found,
                expected=f"brains that lie on the template to within {MAX_SHIFT_MM:g} mm as a whole",
                hint=hint + "the transform to it? Or set distance: euclidean, which needs no template",
            )


def shift_onto(mesh: Mesh, positions: NDArray[np.float64], normals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shift (3,), mm, that brings positions onto a surface: iterated closest points, translation only.

    The nearest place alone says little where cortex is folded: some bank is always near. So a position is paired with
    the vertex that is nearest in place and direction of the normal, and only distances along the normals are made
    small (point to plane: Chen and Medioni, Image and Vision Computing 10, 1992).

    Parameters
    ----------
    mesh : Mesh
    positions, normals : (n, 3) float64
        At most `SHIFT_PATCHES` are used, drawn by chance.
    """
    drawn = generator(0, "shift onto the template").permutation(len(positions))[:SHIFT_PATCHES]
    positions, normals = positions[drawn], normals[drawn]
    tree = cKDTree(np.hstack([mesh.vertices, NORMAL_MM * mesh.vertex_normals]))
    shift = np.zeros(3)
    for _ in range(SHIFT_ROUNDS):
        nearest = tree.query(np.hstack([positions + shift, NORMAL_MM * normals]))[1]
        towards = mesh.vertex_normals[nearest]
        away = ((mesh.vertices[nearest] - positions) * towards).sum(axis=1)
        # directions that few normals have, as in a flat block, are left alone
        following = np.asarray(np.linalg.lstsq(towards, away, rcond=0.1)[0])
        step, shift = np.linalg.norm(following - shift), following
        if step < SHIFT_STEP_MM:
            break
    return shift


def reference_midsurface(study: Study, side: str) -> Mesh:
    """Return the mean of the template's pial and white surface, with edges of 1.5 mm or less (mean)."""
    surfaces = study.template.get(side)  # type: ignore[call-overload]
    if surfaces is None:
        hint = "declare pial and white of the reference space (space.template), or set distance: euclidean"
        if side == "R":
            hint += ", or mirrored: true, which needs the left template only"
        raise StudyError(study.path, f"space.template.{side}", found="no template surfaces", hint=hint)
    pial, white = read_surface(surfaces.pial), read_surface(surfaces.white)
    if not np.array_equal(pial.faces, white.faces):
        found = f"{pial.n_vertices} vertices in pial, {white.n_vertices} in white, or other faces"
        raise StudyError(study.path, f"space.template.{side}", found=found, expected="the same vertices and faces")
    mesh = Mesh(0.5 * (pial.vertices + white.vertices), pial.faces)
    while mean_edge_mm(mesh) > MAX_EDGE_MM:
        mesh = Mesh(*trimesh.remesh.subdivide(mesh.vertices, mesh.faces))
    return mesh


def mean_edge_mm(mesh: Mesh) -> float:
    """Return the mean length of the edges."""
    i, j = mesh.edges.T
    return float(np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1).mean())


def join(meshes: list[Mesh]) -> Mesh:
    """Return several meshes as one."""
    firsts = np.cumsum([0, *(mesh.n_vertices for mesh in meshes)])
    faces: list[NDArray[np.int64]] = [mesh.faces + first for mesh, first in zip(meshes, firsts, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def open_geodesics(run: Path, pool: PatchPool, mesh: Mesh, radius_mm: float, here: World) -> LocalGeodesics:
    """Return the distances between the vertices that patches stand for, computed once a run by the main rank."""
    vertices = np.unique(pool.vertex)
    folder = run / "geodesics" / digest(mesh.vertices, mesh.faces, vertices, radius_mm)
    if here.is_main:
        with lock(run, "geodesics", wait=True):
            clear_partial(folder.parent)
            if not folder.is_dir():
                geodesics = local_geodesics(mesh, radius_mm, vertices)
                save_geodesics(folder, geodesics)
                log(
                    f"geodesics: {len(vertices):,} vertices, {len(geodesics.indices):,} pairs up to {radius_mm:g} mm, "
                    f"{geodesics.nbytes / max(1, len(vertices)):.0f} bytes per vertex"
                )
    here.barrier()
    return load_geodesics(folder)
