"""Whether given surfaces are a cortex, of the right side, and lie where the sections of their brain do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import SurfaceError
from cytomesh.graph.curves import PlaneCutter, stacking_axis
from cytomesh.graph.inputs import SectionInput, plane_contours
from cytomesh.graph.links import Ribbon
from cytomesh.graph.nearest import nearest_planes
from cytomesh.imaging.thumbnail import tissue_thumbnail
from cytomesh.study.manifest import SurfaceFiles
from cytomesh.surface.any_surface import read_any_surface, stated_side
from cytomesh.surface.quality import contour_point_distances

ONE_SIDE = 0.95
"""Share of the vertices beyond the midline with which a surface is on the wrong side of it."""
CENTRED = 0.1
"""Images whose middle is nearer to x = 0 than this share of their width show both sides of a brain, midline at 0."""
LEAST_IN_IMAGE = 0.05
"""Share of the vertices near a section that its image has to show: it may show a part of the hemisphere only."""
LEAST_ON_TISSUE = 0.8
"""Share of a midsurface that has to show on tissue: of BigBrain's 0.995 does (0.85 where 10,000 vertices cut corners),
and 0.75 if it is 5 mm off."""
N_SAMPLED = 5000
N_LOOKED_AT = 8
WORLD = "the space of to_world, mm, RAS"
TO_WORLD = (
    "write the surfaces in that space: FreeSurfer's surface RAS lacks c_ras (mris_convert --to-scanner), registered"
    " ones need their transform (wb_command -surface-apply-affine)"
)


def check_given(
    files: SurfaceFiles, hemisphere: str, ribbon: Ribbon, inputs: Sequence[SectionInput], max_distance_mm: float
) -> None:
    """Raise SurfaceError unless the surfaces of a hemisphere are a cortex, of its side, and where the sections are.

    Parameters
    ----------
    inputs : sequence of SectionInput
        All sections, missing ones too.
    max_distance_mm : float
        How near to a plane a vertex is near to the section.
    """
    _check_side(files, hemisphere, ribbon, inputs)
    _check_place(files, hemisphere, ribbon, inputs, max_distance_mm)


def _check_side(files: SurfaceFiles, hemisphere: str, ribbon: Ribbon, inputs: Sequence[SectionInput]) -> None:
    """Raise SurfaceError if the files say that they are of the other side, or lie beyond the midline of the images."""
    for path in (files.pial, files.white, files.midthickness):
        stated = stated_side(path) if path else None
        if stated not in (None, hemisphere):
            found = f"a file that says it is of hemisphere {stated}"
            hint = "exchange L and R in surfaces, or correct the file (wb_command -set-structure)"
            raise SurfaceError(path or "", found=found, expected=f"one of {hemisphere}", hint=hint)
    x = ribbon.pial.vertices[:, 0]
    beyond = float((x > 0 if hemisphere == "L" else x < 0).mean())
    if beyond > ONE_SIDE and _is_centred(inputs):
        found = f"hemisphere {hemisphere} at x from {x.min():.1f} to {x.max():.1f} mm, images centred on x = 0"
        hint = "exchange L and R in surfaces, or turn the sign of x in them (LPS?) or in to_world"
        raise SurfaceError(files.pial, found=found, expected=f"x {_side_sign(hemisphere)} 0 (RAS)", hint=hint)


def check_sides(surfaces: Mapping[str, SurfaceFiles]) -> None:
    """Raise SurfaceError if the left surfaces of a brain lie right of the right ones."""
    if {"L", "R"} <= surfaces.keys():
        left, right = (float(read_any_surface(surfaces[side].pial).vertices[:, 0].mean()) for side in ("L", "R"))
        if left > right:
            found = f"L at x = {left:.1f} mm on average, R at {right:.1f} mm ({surfaces['R'].pial.name})"
            hint = "exchange L and R in surfaces, or turn the sign of x in both (LPS?)"
            raise SurfaceError(
                surfaces["L"].pial, found=found, expected="x to grow from left to right (RAS)", hint=hint
            )


def _check_place(
    files: SurfaceFiles, hemisphere: str, ribbon: Ribbon, inputs: Sequence[SectionInput], max_distance_mm: float
) -> None:
    """Raise SurfaceError unless the surfaces lie along the stack, in the images, and at contours if there are any."""
    nodes = ribbon.midthickness.vertices[np.unique(ribbon.midthickness.faces)]
    planes = [item.plane for item in inputs]
    axis = stacking_axis(planes)
    ranked, distances = nearest_planes(planes, axis, nodes)
    is_near = distances[:, 0] <= max_distance_mm
    if not is_near.any():
        along, at = nodes @ axis, np.array([plane.to_world[:, 2] for plane in planes]) @ axis
        found = f"a surface {_span(along)} along the sections' normal, and sections {_span(at)}"
        expected = f"vertices within {max_distance_mm:.3g} mm of a section, in {WORLD}"
        raise SurfaceError(files.pial, found=found, expected=expected, hint=TO_WORLD)
    n_in_image, n_tried = _in_images(inputs, nodes[is_near], ranked[is_near, 0])
    if n_in_image < LEAST_IN_IMAGE * n_tried:
        found = f"{n_in_image / n_tried:.0%} of the vertices near a section within its image"
        raise SurfaceError(files.pial, found=found, expected=f"surfaces in {WORLD}", hint=TO_WORLD)
    distance = np.concatenate([[], *contour_point_distances(ribbon.pial, plane_contours(inputs, hemisphere), "pial")])
    thickness = float(np.median(np.linalg.norm(ribbon.pial.vertices - ribbon.white.vertices, axis=1)))
    if distance.size and np.median(distance) > thickness:
        found = f"pial contours {np.median(distance):.1f} mm from the surface (median)"
        expected = f"less than the cortex is thick, {thickness:.1f} mm"
        raise SurfaceError(files.pial, found=found, expected=expected, hint=TO_WORLD)


def check_tissue(files: SurfaceFiles, ribbon: Ribbon, inputs: Sequence[SectionInput]) -> None:
    """Raise SurfaceError if the midsurface, cut by sections without contours, runs beside the tissue in most images."""
    cutter = PlaneCutter(ribbon.midthickness, stacking_axis([item.plane for item in inputs]))
    bare = [item for item in inputs if item.section.image is not None and item.contours is None]
    chosen = np.unique(np.linspace(0, len(bare) - 1, min(len(bare), N_LOOKED_AT)).astype(int))
    shares = []
    for item in (bare[k] for k in chosen):
        points = cutter.cut(item.plane).points.reshape(-1, 3)
        thumbnail = tissue_thumbnail(item.section) if item.section.image and len(points) else None
        if thumbnail is not None:
            shares.append(thumbnail.share(item.plane.pixels(points)))
    if shares and np.median(shares) < LEAST_ON_TISSUE:
        found = f"{np.median(shares):.0%} of the midsurface on tissue (median of {len(shares)} images)"
        expected = f"at least {LEAST_ON_TISSUE:.0%}, in {WORLD}"
        raise SurfaceError(files.pial, found=found, expected=expected, hint=TO_WORLD)


def _in_images(
    inputs: Sequence[SectionInput], nodes: NDArray[np.float64], nearest: NDArray[np.int64]
) -> tuple[int, int]:
    """Count the nodes within the image of their nearest section, and those whose section has one; of a sample."""
    step = 1 + len(nodes) // N_SAMPLED
    nodes, nearest = nodes[::step], nearest[::step]
    n_inside = n_tried = 0
    for which in np.unique(nearest):
        item = inputs[which]
        if item.shape is not None:
            height, width = item.shape
            pixels = item.plane.pixels(nodes[nearest == which])
            inside = ((pixels >= -0.5) & (pixels <= (width - 0.5, height - 0.5))).all(axis=1)
            n_inside, n_tried = n_inside + int(inside.sum()), n_tried + len(inside)
    return n_inside, n_tried


def _is_centred(inputs: Sequence[SectionInput]) -> bool:
    """Whether the images show both sides of a brain whose midline is at x = 0, as far as their place says."""
    extents = []
    for item in inputs:
        if item.shape is not None:
            height, width = item.shape
            corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
            x = item.section.plane.world(corners)[:, 0]
            extents.append((x.min(), x.max()))
    if not extents:
        return False
    low, high = np.median(extents, axis=0)
    return bool(abs(low + high) / 2.0 < CENTRED * (high - low))


def _side_sign(hemisphere: str) -> str:
    return "below" if hemisphere == "L" else "above"


def _span(values: NDArray[np.float64]) -> str:
    low, high = float(values.min()), float(values.max())
    return f"at {low:,.1f} mm" if high - low < 0.05 else f"from {low:,.1f} to {high:,.1f} mm"
