"""Voxel size and edge length of a reconstruction, chosen from the data where the settings leave them open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cytomesh.core.progress import log
from cytomesh.surface.config import SurfaceConfig
from cytomesh.surface.frame import stack_axes
from cytomesh.surface.stack import PlaneContours

LARGEST_MM = 0.5
"""A voxel is never larger by itself: sulci of human cortex would close."""
VOXELS_PER_GAP = 2.0
"""Between two sections the surface is interpolated: finer voxels find nothing new."""
PIXELS_PER_VOXEL = 2.0
MAX_VOXELS = 2e7
"""About 2 GB at the peak."""
EDGE_VOXELS = 2.0


@dataclass(frozen=True, slots=True)
class Resolution:
    """Edge lengths of the voxels and of the triangles, mm."""

    voxel_mm: float
    edge_length_mm: float


def choose_resolution(contours: Sequence[PlaneContours], settings: SurfaceConfig) -> Resolution:
    """Return the resolution that the settings give, or, where they are null, one that fits the sections.

    Half the median gap between sections, but at least two pixels and at most 0.5 mm, and so large that the contours'
    box has no more than 20 million voxels.
    """
    voxel = settings.voxel_mm
    if voxel is None:
        voxel = _fitting(contours)
    edge = settings.edge_length_mm
    return Resolution(voxel, EDGE_VOXELS * voxel if edge is None else edge)


def _fitting(contours: Sequence[PlaneContours]) -> float:
    to_world = np.stack([plane.to_world for plane in contours])
    axes = stack_axes(to_world)
    gap = float(np.median(np.diff(np.sort(to_world[:, :, 2] @ axes[:, 2]))))
    pixel = float(np.median(np.linalg.norm(to_world[:, :, :2], axis=1)))
    corners = []
    for plane in contours:
        if not plane.pial.is_empty:
            left, top, right, bottom = plane.pial.bounds
            corners += [plane.to_world @ (x, y, 1.0) for x in (left, right) for y in (top, bottom)]
    box = np.ptp(np.array(corners).reshape(-1, 3) @ axes, axis=0)
    candidates = {
        f"half the gap between sections, {gap:.3g} mm": gap / VOXELS_PER_GAP,
        f"two pixels of {1000 * pixel:.3g} um": PIXELS_PER_VOXEL * pixel,
        f"{MAX_VOXELS:.0e} voxels in {' x '.join(f'{mm:.0f}' for mm in box)} mm": float(
            np.cbrt(np.maximum(box, gap).prod() / MAX_VOXELS)
        ),
    }
    reason, voxel = max(candidates.items(), key=lambda item: item[1])
    if voxel > LARGEST_MM:
        reason, voxel = f"at most {LARGEST_MM} mm", LARGEST_MM
    voxel = float(f"{voxel:.2g}")
    log(f"  surface.voxel_mm: {voxel:g} ({reason})")
    return voxel
