"""Ways from section contours to white and pial surfaces: cytomesh and its peers, on the same contours and voxel size.

Peers get the same grid and the same point-in-polygon rule (a pixel is inside if its centre is): better than what their
programs do, where those round ring vertices to pixels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
import shapely
import trimesh
from numpy.typing import NDArray

from cytomesh.phantom.slicing import fill
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.distance import signed_distance
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.reconstruct import reconstruct
from cytomesh.surface.stack import Grid, PlaneContours, Stack, stack_contours

KINDS = ("white", "pial")
OUTSIDE_MM = -1.0
"""Field of a section without contours, in the plain stack of distance fields."""

Surfaces = dict[str, Mesh]


def cytomesh(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Surfaces:
    """Reconstruct both surfaces."""
    built = reconstruct(contours, settings)
    return {"white": built.white, "pial": built.pial}


def boolean_stack(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Surfaces:
    """One boolean slice a section, marching cubes, one mean spacing: what PyReconstruct does without smoothing."""
    return {kind: _boolean_surface(contours, settings, kind, is_smoothed=False) for kind in KINDS}


def boolean_smoothed(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Surfaces:
    """Do the same and smooth as PyReconstruct does by default: Humphrey, 10 rounds, in voxel coordinates."""
    return {kind: _boolean_surface(contours, settings, kind, is_smoothed=True) for kind in KINDS}


def itk_interpolator(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Surfaces:
    """Sections in the nearest slice of a cubic volume, ITK's MorphologicalContourInterpolator, VTK's flying edges."""
    import itk
    import pyvista

    stack = stack_contours(contours, settings.voxel_mm)
    slices = np.rint(stack.heights[:, 0]).astype(int)
    surfaces = {}
    for kind in KINDS:
        labels = np.zeros(stack.grid.shape[::-1], np.uint8)
        for at, mask in zip(slices, _masks(contours, stack, kind), strict=True):
            labels[at] = mask.T
        filled = itk.morphological_contour_interpolator(itk.image_view_from_array(labels), axis=2, label=1)
        volume = pyvista.ImageData(dimensions=stack.grid.shape)
        # ITK's arrays run (z, y, x): raveled, x is fastest, as VTK has it
        volume.point_data["label"] = itk.array_view_from_image(filled).ravel()
        surface = volume.contour([0.5], scalars="label", method="flying_edges")
        surfaces[kind] = _outward(surface.points.astype(np.float64), surface.regular_faces, stack.grid)
    return surfaces


def distance_stack(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Surfaces:
    """Exact in-plane distance fields, linear between sections, scikit-image's marching cubes."""
    from skimage.measure import marching_cubes

    stack = stack_contours(contours, settings.voxel_mm)
    ni, nj, nk = stack.grid.shape
    surfaces = {}
    for kind in KINDS:
        # one empty section beyond each end closes the surface
        fields = np.full((len(contours) + 2, ni, nj), OUTSIDE_MM, np.float32)
        for field, lines in zip(fields[1:-1], getattr(stack, kind), strict=True):
            if len(lines):
                field[:] = signed_distance(lines, ni, nj) * settings.voxel_mm
        at = stack.heights[:, 0]
        at = np.concatenate([[2 * at[0] - at[1]], at, [2 * at[-1] - at[-2]]])
        place = np.interp(np.arange(nk), at, np.arange(len(at)))
        low = np.minimum(place.astype(int), len(at) - 2)
        volume = np.empty((nk, ni, nj), np.float32)
        for slice_, k, share in zip(volume, low, (place - low).astype(np.float32), strict=True):
            slice_[:] = (1 - share) * fields[k] + share * fields[k + 1]
        vertices, faces, _, _ = marching_cubes(volume, 0.0)
        surfaces[kind] = _outward(vertices[:, [1, 2, 0]].astype(np.float64), faces, stack.grid)
    return surfaces


METHODS: dict[str, Callable[[Sequence[PlaneContours], SurfaceConfig], Surfaces]] = {
    "cytomesh": cytomesh,
    "boolean stack, marching cubes": boolean_stack,
    "boolean stack, smoothed": boolean_smoothed,
    "ITK interpolator, flying edges": itk_interpolator,
    "distance fields, marching cubes": distance_stack,
}


def missing(method: str) -> str:
    """Return what has to be installed for a method, or an empty string."""
    is_there = importlib.util.find_spec("itk") and importlib.util.find_spec(
        "itk.itkMorphologicalContourInterpolatorPython"
    )
    return "" if METHODS[method] is not itk_interpolator or is_there else "pip install 'cytomesh[bench]'"


def _boolean_surface(contours: Sequence[PlaneContours], settings: SurfaceConfig, kind: str, is_smoothed: bool) -> Mesh:
    stack = stack_contours(contours, settings.voxel_mm)
    volume = np.stack(_masks(contours, stack, kind), axis=2)
    surface = trimesh.voxel.ops.matrix_to_marching_cubes(volume)
    if is_smoothed:
        trimesh.smoothing.filter_humphrey(surface)
    vertices = np.array(surface.vertices)
    at = stack.heights[:, 0]
    vertices[:, 2] = at[0] + vertices[:, 2] * np.diff(at).mean()
    return _outward(vertices, np.array(surface.faces), stack.grid)


def _masks(contours: Sequence[PlaneContours], stack: Stack, kind: str) -> list[NDArray[np.bool_]]:
    """Return which points (i, j) of the grid are inside, for each section in stacking order; planes are parallel."""
    shape = (stack.grid.shape[1], stack.grid.shape[0])
    masks = []
    for plane in (contours[k] for k in stack.order):

        def to_grid(pixels: NDArray[np.float64], plane: PlaneContours = plane) -> NDArray[np.float64]:
            world = pixels @ plane.to_world[:, :2].T + plane.to_world[:, 2]
            return stack.grid.indices(world)[:, :2]

        masks.append(fill(shapely.transform(getattr(plane, kind), to_grid), shape).T)
    return masks


def _outward(indices: NDArray[np.float64], faces: NDArray[np.int64], grid: Grid) -> Mesh:
    mesh = Mesh(grid.world(indices), faces)
    return mesh if mesh.volume_mm3 > 0 else Mesh(mesh.vertices, mesh.faces[:, ::-1])
