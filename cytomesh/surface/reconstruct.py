"""From section contours to nested, vertex-corresponding cortical surfaces of one hemisphere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.core.progress import log
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.contour_fit import fit_to_contours
from cytomesh.surface.correction import describe_correction, grow_middle, grow_pial, grow_white, inside, make_consistent
from cytomesh.surface.ends import extended
from cytomesh.surface.extract import marching_tetrahedra
from cytomesh.surface.fit import chord_shift
from cytomesh.surface.implicit import fill_volume
from cytomesh.surface.laplace import solve_depth
from cytomesh.surface.mesh import Mesh, unit
from cytomesh.surface.quality import contour_distances
from cytomesh.surface.resample import resample
from cytomesh.surface.resolution import Resolution, choose_resolution
from cytomesh.surface.separate import draw_apart, untangle
from cytomesh.surface.stack import Ends, PlaneContours, Stack, stack_contours
from cytomesh.surface.topology import slabs
from cytomesh.surface.tracing import trace

LONGEST_LINE_MM = 12.0
MIDDLE_SHARE = 1 / 3
"""Coarsest sampling of the depth field for the midsurface, as a share of the cortex's thickness."""


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


def reconstruct(
    contours: Sequence[PlaneContours], settings: SurfaceConfig, is_cut: Ends = (False, False), name: str = "surfaces"
) -> CorticalSurfaces:
    """Build the cortical surfaces of one hemisphere from its section contours.

    In-plane signed distances are interpolated between the true plane positions; a genus-0 white object is grown from
    its deepest point, a genus-0 pial object from the white object through the ribbon, both by simple points only, so
    that opposite banks of a sulcus never fuse. From the level 0.5 of Laplace's equation in the ribbon field lines run
    to pial and white. Their ends are drawn onto the contours, and apart where flat triangles cross; the midthickness
    surface is the mean of the two.

    Parameters
    ----------
    contours : sequence of PlaneContours
        Sections in any order; a section that shows no cortex has empty regions, a missing one is left out. A boundary
        that is empty between sections that show it is not known there, and interpolated as over a missing section.
    settings : SurfaceConfig
        Resolution.
    is_cut : (bool, bool)
        Ends at which sections stop and the tissue does not (see `ends.cut_ends`): there the surfaces go on straight
        for a thickness of the cortex, and are cut off flat.
    name : str
        Whose surfaces these are, in log lines.

    Raises
    ------
    SurfaceError
        Too few contours, coinciding planes, or a surface that is not a closed sphere.

    Examples
    --------
    >>> import numpy as np
    >>> from shapely import MultiPolygon, Point
    >>> from cytomesh import PlaneContours, SurfaceConfig
    >>> def disc(radius, y):  # of a ball in the plane y, pixels of 1 mm
    ...     return MultiPolygon([Point(20, 20).buffer(max(radius**2 - y**2, 0) ** 0.5)] if radius > abs(y) else [])
    >>> planes = [np.array([[1.0, 0, -20], [0, 0, y], [0, -1.0, 20]]) for y in range(-9, 10, 2)]
    >>> contours = [PlaneContours(plane, disc(10, plane[1, 2]), disc(8, plane[1, 2])) for plane in planes]
    >>> found = reconstruct(contours, SurfaceConfig(voxel_mm=1.0))
    >>> found.pial.euler_number, round(float(found.thickness_mm.mean()), 1)
    (2, 2.0)
    """
    clock = _Clock(name)
    resolution = choose_resolution(contours, settings)
    stack = stack_contours(extended(contours, is_cut), resolution.voxel_mm, is_cut)
    with clock("volume"):
        white, pial = (fill_volume(stack, lines) for lines in (stack.white, stack.pial))
    report: dict[str, Any] = {
        "n_sections": len(contours),
        "voxel_mm": resolution.voxel_mm,
        "edge_length_mm": resolution.edge_length_mm,
        "is_cut": list(is_cut),
        "grid": list(stack.grid.shape),
    }
    with clock("topology"):
        before = inside(white)
        is_white = grow_white(white, settings.repair_mm)
        report["white"] = _bridged(stack, stack.white) | describe_correction(before, white, is_white, stack.grid)
        make_consistent(white, is_white)
        for layers in slabs(pial.shape):
            np.maximum(pial[layers], white[layers] + np.float32(settings.min_thickness_mm), out=pial[layers])
        before = inside(pial)
        is_pial = grow_pial(pial, white, is_white, resolution.voxel_mm)
        report["pial"] = _bridged(stack, stack.pial) | describe_correction(before, pial, is_pial, stack.grid)
        make_consistent(pial, is_pial)
        del before, is_white, is_pial
    with clock("depth"):
        depth = solve_depth(white, pial, settings.tolerance)
        report["depth"] = {
            "n_unknowns": depth.n_unknowns,
            "n_iterations": depth.n_iterations,
            "residual": depth.residual,
        }
    with clock("midsurface"):
        stride = _stride(white, pial, depth.values, resolution)
        coarse = np.ascontiguousarray(depth.values[::stride, ::stride, ::stride])
        field, is_inner, report["n_places_off_middle"] = grow_middle(coarse, stride * resolution.voxel_mm)
        vertices, faces = marching_tetrahedra(field, is_inner)
        del coarse, is_inner
    with clock("resampling"):
        edge_length = resolution.edge_length_mm / (stride * resolution.voxel_mm)
        vertices, faces = resample(vertices, faces, field, 0.0, edge_length)
        middle = untangle(Mesh(vertices * stride, faces))
        del field
    with clock("field lines"):
        surfaces = _field_lines(middle, depth.values, (pial, white), stack, settings, report)
        del white, pial
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


def _bridged(stack: Stack, segments: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Return which of the given sections the boundary was interpolated over."""
    return {"bridged": np.sort(stack.order[stack.is_bridged(segments)]).tolist()}


def _stride(
    white: NDArray[np.float32], pial: NDArray[np.float32], depth: NDArray[np.float32], resolution: Resolution
) -> int:
    """Every how many voxels the midsurface is looked for: it is far from touching itself, and only a start.

    At most an edge length, so that nothing is lost to the triangles, and a third of the cortex's thickness.
    """
    few = (slice(None, None, 2),) * 3
    is_middle = np.abs(depth[few] - np.float32(0.5)) < 0.1
    if not is_middle.any():
        return 1
    thickness = float(np.median(pial[few][is_middle] - white[few][is_middle]))
    return max(1, int(min(resolution.edge_length_mm, MIDDLE_SHARE * thickness) / resolution.voxel_mm))


def _field_lines(
    middle: Mesh,
    values: NDArray[np.float32],
    boundaries: tuple[NDArray[np.float32], NDArray[np.float32]],
    stack: Stack,
    settings: SurfaceConfig,
    report: dict[str, Any],
) -> CorticalSurfaces:
    """Follow the field to both boundaries, then draw these onto the contours."""
    grid, least = stack.grid, 0.5 * settings.min_thickness_mm / stack.grid.voxel_mm
    longest = LONGEST_LINE_MM / grid.voxel_mm
    lines, length, unfinished = [], [], {}
    sides = (("pial", 0.0, stack.pial), ("white", 1.0, stack.white))
    for (name, level, segments), field in zip(sides, boundaries, strict=True):
        paths, lengths, reached = trace(values, middle.vertices, level, longest)
        unfinished[name] = int((~reached).sum())
        end = Mesh(paths[:, -1], middle.faces)
        direction = unit(end.vertices - middle.vertices)
        end = Mesh(end.vertices + chord_shift(end, field), middle.faces)
        fitted = fit_to_contours(end, stack.heights, segments)
        # never nearer to the midsurface than half the least thickness
        missing = least - np.einsum("ij,ij->i", fitted - middle.vertices, direction)
        fitted = fitted + np.maximum(missing, 0.0)[:, None] * direction
        # the line is as much longer as its end has moved on along it
        lengths += np.einsum("ij,ij->i", fitted - paths[:, -1], direction)
        paths[:, -1] = fitted
        lines.append(grid.world(paths.reshape(-1, 3)).reshape(paths.shape))
        length.append(lengths * grid.voxel_mm)
    pial, white, history = draw_apart(Mesh(grid.world(middle.vertices), middle.faces), *lines)
    report["field_lines"] = {"unfinished": unfinished, "crossings_by_round": history}
    thickness = sum(length)
    for surface, paths in zip((pial, white), lines, strict=True):
        thickness = thickness - np.linalg.norm(surface.vertices - paths[:, -1], axis=1)
    # The mean of corresponding points, as Workbench has it: half-way in bends too, where the Laplace level 0.5 is not.
    middle = Mesh(0.5 * (pial.vertices + white.vertices), middle.faces)
    return CorticalSurfaces(pial, middle, white, np.maximum(thickness, 0.0), report)


def _check(mesh: Mesh, name: str) -> None:
    if not mesh.is_closed or mesh.euler_number != 2:
        raise SurfaceError(name, found=f"Euler number {mesh.euler_number}", expected="a closed surface with 2")


class _Clock:
    """Seconds of each named step."""

    def __init__(self, whose: str) -> None:
        self.seconds: dict[str, float] = {}
        self._whose = whose

    def __call__(self, name: str) -> _Clock:
        self._name, self._start = name, time.perf_counter()
        return self

    def __enter__(self) -> None:
        log(f"{self._whose}: {self._name}")

    def __exit__(self, *_: object) -> None:
        self.seconds[self._name] = round(time.perf_counter() - self._start, 3)
