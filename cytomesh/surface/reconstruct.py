"""From section contours to nested, vertex-corresponding cortical surfaces of one hemisphere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cytomesh.core.errors import SurfaceError
from cytomesh.core.progress import log
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.extract import marching_tetrahedra
from cytomesh.surface.implicit import Grid, PlaneContours, interpolate, plane_fields, stack_contours
from cytomesh.surface.laplace import solve_depth
from cytomesh.surface.mesh import Mesh
from cytomesh.surface.quality import contour_distances, self_intersections
from cytomesh.surface.resample import resample
from cytomesh.surface.topology import OFFSETS, deform, euler_number
from cytomesh.surface.tracing import trace

LONGEST_LINE_MM = 12.0
LEAST = np.float32(1e-3)
N_PLACES = 200
N_SEPARATIONS = 20
NEIGHBOURHOOD = np.zeros((3, 3, 3), bool)
NEIGHBOURHOOD[tuple((OFFSETS + 1).T)] = True


@dataclass(frozen=True, slots=True)
class CorticalSurfaces:
    """Surfaces of one hemisphere; vertex i lies on one field line in all three, faces are the same.

    Parameters
    ----------
    pial, midthickness, white : Mesh
        Closed surfaces of genus 0, mm, white inside midthickness inside pial.
    thickness_mm : (n,) float64
        Length of the field line from white to pial.
    report : dict
        Plain numbers on what was built and what had to be corrected.
    """

    pial: Mesh
    midthickness: Mesh
    white: Mesh
    thickness_mm: NDArray[np.float64]
    report: dict[str, Any]


def reconstruct(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> CorticalSurfaces:
    """Build the cortical surfaces of one hemisphere from its section contours.

    In-plane signed distances are interpolated between the true plane positions; a genus-0 white object is grown from
    its deepest point, a genus-0 pial object from the white object through the ribbon, both by simple points only, so
    that opposite banks of a sulcus never fuse. The midsurface is the level 0.5 of Laplace's equation in the ribbon,
    and field lines carry its vertices to pial and white.

    Parameters
    ----------
    contours : sequence of PlaneContours
        Sections in any order; a section that shows no cortex has empty regions, a missing one is left out.
    settings : SurfaceConfig
        Resolution.

    Raises
    ------
    SurfaceError
        Too few contours, coinciding planes, or a surface that is not a closed sphere.
    """
    clock = _Clock()
    stack = stack_contours(contours, settings.voxel_mm)
    with clock("volume"):
        white, pial = (interpolate(stack, plane_fields(stack, lines)) for lines in (stack.white, stack.pial))
    report: dict[str, Any] = {
        "n_sections": len(contours),
        "voxel_mm": settings.voxel_mm,
        "grid": list(stack.grid.shape),
    }
    with clock("topology"):
        is_white = _grow_white(white, settings.repair_mm)
        report["white"] = _correction(white, is_white, stack.grid)
        _make_consistent(white, is_white)
        np.maximum(pial, white + np.float32(settings.min_thickness_mm), out=pial)
        is_pial = _grow_pial(pial, white, is_white)
        report["pial"] = _correction(pial, is_pial, stack.grid)
        _make_consistent(pial, is_pial)
    with clock("depth"):
        depth = solve_depth(white, pial, is_white, is_pial, settings.tolerance)
        report["depth"] = {
            "n_unknowns": depth.n_unknowns,
            "n_iterations": depth.n_iterations,
            "residual": depth.residual,
        }
        del white, pial, is_pial
    with clock("midsurface"):
        is_inner = is_white
        deform(is_inner, 0, -depth.values, -0.5)
        vertices, faces = marching_tetrahedra(depth.values - np.float32(0.5), is_inner)
        del is_inner
    with clock("resampling"):
        edge_length = settings.edge_length_mm / settings.voxel_mm
        vertices, faces = resample(vertices, faces, depth.values, 0.5, edge_length)
    with clock("field lines"):
        surfaces = _field_lines(vertices, faces, depth.values, stack.grid, report)
    with clock("checks"):
        for name in ("white", "pial"):
            mesh = getattr(surfaces, name)
            report[name] |= {
                "euler_number": mesh.euler_number,
                "area_mm2": mesh.area_mm2,
                "volume_mm3": mesh.volume_mm3,
            }
            distance = contour_distances(mesh, contours, name)
            report[name]["contour_distance_mm"] = {
                "mean": distance[:, 0].round(4).tolist(),
                "p95": distance[:, 1].round(4).tolist(),
            }
            _check(mesh, name)
    report["seconds"] = clock.seconds
    return surfaces


def _grow_white(white: NDArray[np.float32], repair_mm: float) -> NDArray[np.uint8]:
    """Grow a genus-0 object a little too far from the deepest point, then peel it back to the contours.

    Growth in order of depth cuts a handle where it is thinnest; the excess bridges gaps thinner than twice
    `repair_mm`, and the way back leaves only what the topology needs.
    """
    _fill_cavities(white)
    state = np.zeros(white.shape, np.uint8)
    state[np.unravel_index(int(white.argmax()), white.shape)] = 1
    deform(state, 0, -white, repair_mm)
    deform(state, 1, white, 0.0)
    return state


def _grow_pial(pial: NDArray[np.float32], white: NDArray[np.float32], is_white: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grow from white through the ribbon in order of relative depth: fronts of two banks meet midway between them."""
    _fill_cavities(pial)
    inside = np.maximum(pial, LEAST)
    key = np.maximum(-white, LEAST)
    key /= key + inside
    key[pial <= 0] = 2.0
    state = is_white.copy()
    deform(state, 0, key, 1.0)
    return state


def _fill_cavities(field: NDArray[np.float32]) -> None:
    """Fill background that does not reach the grid's border: growth would leave a tunnel to it."""
    labels, n_labels = ndimage.label(field <= 0, NEIGHBOURHOOD)
    if n_labels > 1:
        field[(labels > 0) & (labels != labels[0, 0, 0])] = LEAST


def _make_consistent(field: NDArray[np.float32], state: NDArray[np.uint8]) -> None:
    """Give a field the sign that the corrected object has, with the least change."""
    np.maximum(field, LEAST, out=field, where=state == 1)
    np.minimum(field, -LEAST, out=field, where=state == 0)


def _correction(field: NDArray[np.float32], state: NDArray[np.uint8], grid: Grid) -> dict[str, Any]:
    """Describe what topology correction changed; a place is a connected group of voxels."""
    is_inside = field > 0
    is_filled, is_cut = (state == 1) & ~is_inside, (state == 0) & is_inside
    labels, n_places = ndimage.label(is_filled | is_cut, NEIGHBOURHOOD)
    index = np.arange(1, n_places + 1)
    sizes = np.bincount(labels[labels > 0].ravel(), minlength=n_places + 1)[1:]
    largest = index[np.argsort(-sizes, kind="stable")[:N_PLACES]]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, largest)).reshape(-1, 3)
    return {
        "euler_number_before": 2 * euler_number(is_inside),
        "voxels_filled": int(is_filled.sum()),
        "voxels_cut": int(is_cut.sum()),
        "n_places": int(n_places),
        "places_mm": grid.world(centres).round(2).tolist(),
        "places_voxels": sizes[largest - 1].tolist(),
    }


def _field_lines(
    start: NDArray[np.float64],
    faces: NDArray[np.int64],
    values: NDArray[np.float32],
    grid: Grid,
    report: dict[str, Any],
) -> CorticalSurfaces:
    longest = LONGEST_LINE_MM / grid.voxel_mm
    meshes, total, unfinished = {}, np.zeros(len(start)), {}
    for name, level in (("pial", 0.0), ("white", 1.0)):
        paths, lengths, reached = trace(values, start, level, longest)
        total += lengths * grid.voxel_mm
        unfinished[name] = int((~reached).sum())
        shape = paths.shape
        meshes[name] = grid.world(paths.reshape(-1, 3)).reshape(shape)
    mid = Mesh(grid.world(start), faces)
    pial, white, history = _separate(mid, meshes["pial"], meshes["white"])
    report["field_lines"] = {"unfinished": unfinished, "crossings_by_round": history}
    return CorticalSurfaces(pial, mid, white, total, report)


def _separate(
    middle: Mesh, to_pial: NDArray[np.float64], to_white: NDArray[np.float64]
) -> tuple[Mesh, Mesh, list[int]]:
    """Draw vertices of crossing triangles back along their field lines until nothing crosses.

    Triangles are flat where banks are curved: two banks closer than a triangle's sag cross though their field lines
    don't. The midsurface is far from touching itself, so a step back towards it always helps.
    """
    paths = (to_pial, to_white)
    share = [np.ones(middle.n_vertices), np.ones(middle.n_vertices)]
    history: list[int] = []
    among: NDArray[np.bool_] | None = None
    for _ in range(N_SEPARATIONS):
        ends = [_along(path, part) for path, part in zip(paths, share, strict=True)]
        both = Mesh(np.concatenate(ends), np.concatenate([middle.faces, middle.faces + middle.n_vertices]))
        pairs = self_intersections(both, among)
        history.append(len(pairs))
        if not len(pairs):
            break
        vertices = np.unique(both.faces[np.unique(pairs)])
        for surface in (0, 1):
            mine = vertices[(vertices >= middle.n_vertices) == surface] - surface * middle.n_vertices
            share[surface][mine] *= 0.85
        has_moved = np.zeros(both.n_vertices, bool)
        has_moved[vertices] = True
        among = np.asarray(has_moved[both.faces].any(axis=1))
    return Mesh(ends[0], middle.faces), Mesh(ends[1], middle.faces), history


def _along(paths: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    at = share * (paths.shape[1] - 1)
    low = np.minimum(at.astype(int), paths.shape[1] - 2)
    t = (at - low)[:, None]
    rows = np.arange(len(paths))
    return np.asarray(paths[rows, low] * (1 - t) + paths[rows, low + 1] * t)


def _check(mesh: Mesh, name: str) -> None:
    if not mesh.is_closed or mesh.euler_number != 2:
        raise SurfaceError(name, found=f"Euler number {mesh.euler_number}", expected="a closed surface with 2")


class _Clock:
    """Seconds of each named step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> _Clock:
        self._name, self._start = name, time.perf_counter()
        return self

    def __enter__(self) -> None:
        log(f"  {self._name}")

    def __exit__(self, *_: object) -> None:
        self.seconds[self._name] = round(time.perf_counter() - self._start, 3)
