"""Which nodes are no cortex: those beyond a cut end of the stack, and those where the pial ring runs along a cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry.base import BaseGeometry

from cytomesh.graph.config import CutConfig
from cytomesh.graph.inputs import SectionInput
from cytomesh.study.crop_edge import CUT_PX
from cytomesh.surface.ends import beyond_cuts, cut_ends
from cytomesh.surface.reconstruct import CorticalSurfaces
from cytomesh.surface.stack import Ends, PlaneContours

BEYOND = "beyond the cut end of the stack"
ON_CUT = "on a cut face"
LEAST_BORDER_MM = 0.5
"""Shorter stretches only touch the border."""
STEP_MM = 0.25
"""Distance of the points along rings with which nodes are compared."""


def find_ends(contours: Sequence[PlaneContours], settings: CutConfig) -> Ends:
    """Return the ends at which the stack is cut: as the settings say, or as the contours look."""
    if settings.ends is None:
        return cut_ends(contours)
    return settings.ends, settings.ends


def outside_cortex(
    inputs: Sequence[SectionInput],
    hemisphere: str,
    contours: Sequence[PlaneContours],
    surfaces: CorticalSurfaces,
    is_cut: Ends,
    settings: CutConfig,
) -> NDArray[np.str_]:
    """Return why each node is no cortex, (n,) str, empty for cortex.

    A node lies beyond a cut end if it does, or its pial point; on a cut face if its pial point is nearer to a stretch
    of a pial ring on a cut than to any other stretch.

    Parameters
    ----------
    contours : sequence of PlaneContours
        The hemisphere's, as the surfaces were built from.
    """
    pial = surfaces.pial.vertices
    reason = np.full(len(pial), "", dtype="<U48")
    reason[on_cut_rings(inputs, hemisphere, pial, settings)] = ON_CUT
    for points in (pial, surfaces.midthickness.vertices):
        reason[beyond_cuts(points, contours, is_cut)] = BEYOND
    return reason


def on_cut_rings(
    inputs: Sequence[SectionInput],
    hemisphere: str,
    pial: NDArray[np.float64],
    settings: CutConfig,
    max_distance_mm: float = np.inf,
) -> NDArray[np.bool_]:
    """Return which of (n, 3) pial points, world mm, are nearer to a stretch of a ring on a cut than to any other.

    Parameters
    ----------
    max_distance_mm : float
        Points farther away from all rings are on no cut.
    """
    drawn = [item for item in inputs if item.contours is not None and hemisphere in item.contours]
    regions = [_cut_region(item, hemisphere, settings) for item in drawn]
    if all(region.is_empty for region in regions):
        return np.zeros(len(pial), bool)
    rings = [_ring_points(item, hemisphere, region) for item, region in zip(drawn, regions, strict=True)]
    points, on_cut = (np.concatenate(part) for part in zip(*rings, strict=True))
    distance, nearest = cKDTree(points).query(pial)
    return np.asarray(on_cut[nearest] & (distance <= max_distance_mm))


def _cut_region(item: SectionInput, hemisphere: str, settings: CutConfig) -> BaseGeometry:
    """Return the region of a section, pixels, within which its pial rings are cuts."""
    assert item.contours is not None
    boundary = item.contours[hemisphere].pial.boundary
    region: BaseGeometry = item.contours.cut
    if settings.image_border and item.shape is not None and not boundary.is_empty:
        least_px = 1000.0 * LEAST_BORDER_MM / max(item.plane.um_per_px)
        region = region.union(_along_border(boundary, item.shape, least_px))
    return region


def _ring_points(
    item: SectionInput, hemisphere: str, region: BaseGeometry
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return points along the pial rings of a section, world mm, and which of them lie on a cut."""
    assert item.contours is not None
    step_px = 1000.0 * STEP_MM / max(item.plane.um_per_px)
    points = shapely.get_coordinates(item.contours[hemisphere].pial.boundary.segmentize(step_px))
    shapely.prepare(region)
    return item.plane.world(points), shapely.intersects_xy(region, points[:, 0], points[:, 1])


def _along_border(boundary: BaseGeometry, shape: tuple[int, int], least_px: float) -> BaseGeometry:
    """Return a region around the stretches of rings, pixels, that follow the border of an image."""
    height, width = shape
    left, top, right, bottom = boundary.bounds
    inner = shapely.box(CUT_PX - 0.5, CUT_PX - 0.5, width - CUT_PX - 0.5, height - CUT_PX - 0.5)
    if inner.contains(shapely.box(left, top, right, bottom)):
        return shapely.Polygon()
    stretches = shapely.line_merge(boundary.difference(inner))
    long = [part for part in shapely.get_parts(stretches) if part.length >= least_px]
    return shapely.union_all([part.buffer(0.5) for part in long])
