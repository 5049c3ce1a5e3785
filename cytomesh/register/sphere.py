"""A sphere for a surface: conformal at first, then as little stretched as can be, without a flipped triangle."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import splu
from scipy.spatial import ConvexHull

from cytomesh.core.errors import SurfaceError
from cytomesh.core.extras import optional
from cytomesh.core.random import generator
from cytomesh.register.distortion import Points, SphereDistortion, is_flipped, unfolded
from cytomesh.register.minimise import minimise
from cytomesh.register.operators import stiffness
from cytomesh.register.spherical import SphereLocator
from cytomesh.surface.mesh import Mesh, unit

RADIUS_MM = 100.0
"""Of FreeSurfer's and HCP's spheres."""
EXTRA = "cytomesh[register]"
N_UNTANGLINGS = 20
N_ITERATIONS = 300
N_COARSEST = 5_000
"""Vertices that are relaxed first, at least, of finer meshes."""
TOLERANCE = 1e-5


def make_sphere(surface: Mesh, device: torch.device | None = None) -> Mesh:
    """Map a closed surface to a sphere so that lengths change as little as possible and no triangle is flipped.

    Begins with LaPy's conformal map (Choi, Lam and Lui, SIAM J. Imaging Sciences 8, 2015), which keeps angles and
    shrinks what bulges, or, where that shrinks a long process to nothing, with Tutte's map, which knows the edges of
    the mesh alone. Then minimises the stretch (`SphereDistortion`) from there, of some of the vertices first where
    there are many. The sphere is turned so that its axes are the brain's: right, anterior and superior (Kabsch's
    rotation of the one to the other).

    Parameters
    ----------
    surface : Mesh
        Euler number 2, one piece; mm.
    device : torch.device, optional
        Where energies are computed.

    Returns
    -------
    Mesh
        The same faces, on a sphere of radius 100 mm.

    Raises
    ------
    SurfaceError
        If the surface is no sphere topologically, or inside out, or a triangle stays flipped.
    """
    check_topology(surface)
    where = device or torch.device("cpu")
    start = _first_map(surface)
    sphere = relax(surface, relaxed_coarsely(surface, start, where), where)
    return Mesh(RADIUS_MM * turned_to(surface, sphere), surface.faces)


def _first_map(surface: Mesh) -> Points:
    lapy, conformal = optional("lapy", EXTRA), optional("lapy.conformal", EXTRA)
    triangles = lapy.TriaMesh(surface.vertices, surface.faces)
    try:
        return unit(conformal.spherical_conformal_map(triangles))
    except ValueError:  # of triangles that are of no size there
        return unit(conformal.spherical_tutte_map(triangles))


def check_topology(surface: Mesh) -> None:
    """Raise SurfaceError if a surface cannot be mapped to a sphere one to one, outside still outside."""
    if not surface.is_closed or surface.n_components != 1 or surface.euler_number != 2:
        found = (
            f"Euler number {surface.euler_number}, {surface.n_components} pieces, "
            f"{len(surface.border)} edges of one triangle only"
        )
        hint = "close holes and cut handles first; 'cytomesh build-graph' does for surfaces from contours"
        raise SurfaceError(
            "surface", found=found, expected="a closed surface of Euler number 2, in one piece", hint=hint
        )
    if surface.volume_mm3 < 0:
        hint = "reverse the order of the corners of its triangles"
        raise SurfaceError("surface", found="triangles that look inward", expected="outward", hint=hint)


def relaxed_coarsely(surface: Mesh, start: Points, device: torch.device) -> Points:
    """Minimise the stretch of a map to the unit sphere, (n, 3), on ever fewer vertices first, and carry all along.

    A quarter of the vertices is drawn by area, and joined by the convex hull of their places on the sphere: a
    triangulation without flipped triangles. Large stretches, which fine meshes need many steps for, are gone then; a
    few triangles may be flipped.
    """
    n = surface.n_vertices // 4
    if n < N_COARSEST:
        return start
    shares = surface.vertex_areas / surface.vertex_areas.sum()
    drawn = generator(0, "coarse sphere").choice(surface.n_vertices, n, replace=False, p=shares)
    hull = ConvexHull(start[drawn])
    drawn, corners = np.unique(drawn[hull.simplices], return_inverse=True)
    faces = corners.reshape(-1, 3)
    faces[is_flipped(start[drawn], faces)] = faces[is_flipped(start[drawn], faces)][:, ::-1]
    coarse = Mesh(surface.vertices[drawn], faces)
    places = relax(coarse, relaxed_coarsely(coarse, start[drawn], device), device)
    return unit(SphereLocator(Mesh(start[drawn], faces)).interpolate(start, places))


def relax(surface: Mesh, start: Points, device: torch.device) -> Points:
    """Minimise the stretch of a map to the unit sphere, (n, 3), that may have some flipped triangles at first.

    Raises
    ------
    SurfaceError
        If a triangle stays flipped.
    """
    energy = SphereDistortion(surface, device)
    areas = surface.vertex_areas / surface.area_mm2
    # the energy's own Hessian where nothing is stretched, and a little of the identity: rotations cost nothing
    model = 2.0 / (4.0 * np.pi) * stiffness(surface) + 1e-2 * sp.diags(areas)
    solve = splu(model.tocsc()).solve
    sphere = unfolded(unit(start), surface.faces)
    for _ in range(N_UNTANGLINGS):
        least = energy.smallest(torch.as_tensor(sphere, device=device))
        if least > 0:
            break
        smooth = partial(energy, smoothing=float(np.sqrt(1e-6 + 0.04 * least**2)))
        sphere, _ = minimise(smooth, sphere, solve, device, n_iterations=20, tolerance=TOLERANCE)
    if n := int(is_flipped(sphere, surface.faces).sum()):
        hint = "remesh the surface: its triangles are too uneven, or its folds touch"
        raise SurfaceError("sphere", found=f"{n} flipped triangles", expected="none", hint=hint)
    return minimise(energy, sphere, solve, device, n_iterations=N_ITERATIONS, tolerance=TOLERANCE)[0]


def turned_to(surface: Mesh, sphere: Points) -> Points:
    """Turn a sphere, (n, 3), so that its vertices point to where those of the surface lie, seen from its middle."""
    areas = surface.vertex_areas[:, None]
    away = surface.vertices - (areas * surface.vertices).sum(axis=0) / areas.sum()
    left, _, right = np.linalg.svd((areas * sphere).T @ away)
    handed = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return np.asarray(sphere @ left @ handed @ right)
