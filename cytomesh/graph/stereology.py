"""What the contours alone say about volume and area, and what is known of each section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from cytomesh.graph.inputs import SectionInput
from cytomesh.graph.links import ImageLinks
from cytomesh.study.contour_polygons import multi_polygon
from cytomesh.study.neighbours import undrawn_between
from cytomesh.study.section_order import plane_positions
from cytomesh.study.stain import StainStatistics
from cytomesh.surface.alignment import Alignment
from cytomesh.surface.ends import extended
from cytomesh.surface.stack import Ends, PlaneContours

# Less is what rounding of coordinates leaves.
SMALLEST_TRIM_MM2 = 1e-3


def contour_estimates(
    contours: Sequence[PlaneContours], is_cut: Ends = (False, False), min_thickness_mm: float = 0.0
) -> dict[str, dict[str, float]]:
    """Estimate volume and area within the pial and the white boundary from the contours alone.

    Volume by Cavalieri's principle, the sum of areas times the true gaps between planes (Gundersen and Jensen, Journal
    of Microscopy 147, 1987); area by Buffon's, 4 / pi times boundary length times gap, which is exact for surfaces
    that face all directions equally (Baddeley et al., Journal of Microscopy 142, 1986). A section stands for half the
    gap on either side; the outermost sections with a boundary for as much outward as inward. A section without a
    boundary between sections with it says nothing of it, and is left out. Where the stack is cut, the surfaces go on a
    little beyond it and have a flat face: so do the estimates. Where pial and white are nearer to one another than
    `min_thickness_mm`, such as along the cut sides of a block, the pial surface is built that far outside: here, too.

    Parameters
    ----------
    is_cut : (bool, bool)
        See `reconstruct`.
    min_thickness_mm : float
        `SurfaceConfig.min_thickness_mm`.

    Returns
    -------
    dict
        {"pial": {"volume_mm3", "area_mm2"}, "white": {...}}.
    """
    contours = [_apart(plane, min_thickness_mm) for plane in extended(contours, is_cut)]
    matrices = np.stack([plane.to_world for plane in contours])
    heights = plane_positions(matrices)
    order = np.argsort(heights, kind="stable")
    faces = range(len(contours) - sum(is_cut), len(contours))
    pixel_mm2 = np.linalg.norm(np.cross(matrices[:, :, 0], matrices[:, :, 1]), axis=1)
    result = {}
    for name in ("pial", "white"):
        regions = [getattr(plane, name) for plane in contours]
        known = order[~undrawn_between(np.array([not regions[k].is_empty for k in order]))]
        gaps = np.diff(heights[known])
        share = np.zeros(len(order))
        share[known[:-1]] += 0.5 * gaps
        share[known[1:]] += 0.5 * gaps
        share[known[[0, -1]]] += 0.5 * gaps[[0, -1]]
        areas = np.array([region.area for region in regions]) * pixel_mm2
        volume = areas @ share
        if name == "pial":  # both end at the flat faces
            volume += min_thickness_mm * sum(contours[k].white.area * pixel_mm2[k] for k in faces)
        lengths = np.array([_length(region, plane.to_world) for region, plane in zip(regions, contours, strict=True)])
        result[name] = {
            "volume_mm3": float(volume),
            "area_mm2": float(4.0 / np.pi * lengths @ share + sum(areas[k] for k in faces)),
        }
    return result


def section_facts(
    inputs: Sequence[SectionInput],
    report: Mapping[str, Any],
    links: ImageLinks,
    alignment: Alignment | None,
    stains: Mapping[int, StainStatistics],
) -> list[dict[str, Any]]:
    """Return one record per section: place, stain, distance of contours to the surfaces, correction, nodes linked.

    Parameters
    ----------
    inputs : sequence of SectionInput
        All sections; those with contours are, in order, what the surfaces were built from.
    report : dict
        Of the reconstruction, with the contour distances of each section.
    alignment : Alignment or None
        None if sections were left as declared.
    stains : dict of int to StainStatistics
        Of the sections in which glass and tissue can be told apart.
    """
    positions = plane_positions(np.stack([item.plane.to_world for item in inputs]))
    used = iter(range(sum(item.drawn is not None for item in inputs)))
    records = []
    for n, item in enumerate(inputs):
        record: dict[str, Any] = {
            "section": item.section.index,
            "position_mm": float(positions[n]),
            "status": "left out" if item.problem else item.section.status,
            "n_linked": int((links.section == item.section.index).sum()),
        }
        if item.section.index in stains:
            record["stain"] = stains[item.section.index].facts
        if item.drawn is not None:
            k = next(used)
            for name in ("pial", "white"):
                distance = report[name]["contour_distance_mm"]
                record[f"{name}_distance_mm"] = {"mean": distance["mean"][k], "p95": distance["p95"][k]}
        if alignment is not None:
            record |= {
                "shift_mm": alignment.shift_mm[n].tolist(),
                "rotation_deg": float(alignment.rotation_deg[n]),
                "is_measured": bool(alignment.is_measured[n]),
                "to_world": item.plane.to_world.tolist(),
            }
        records.append(record)
    return records


def bridged_sections(inputs: Sequence[SectionInput], report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return {"section", "boundaries"} of each section over which boundaries that it lacks were interpolated."""
    used = [item.section.index for item in inputs if item.drawn is not None]
    lacking: dict[int, list[str]] = {}
    for name in ("pial", "white"):
        for k in report[name]["bridged"]:
            lacking.setdefault(k, []).append(name)
    return [{"section": used[k], "boundaries": names} for k, names in sorted(lacking.items())]


def trimmed_sections(inputs: Sequence[SectionInput], hemisphere: str) -> list[dict[str, Any]]:
    """Return {"section", "white_mm2"} of each section whose white matter outside the pial boundary was taken away."""
    drawn = [(item.section.index, item.drawn) for item in inputs if item.drawn is not None]
    areas = [(index, contours.trimmed_mm2.get(hemisphere, 0.0)) for index, contours in drawn]
    return [{"section": index, "white_mm2": area} for index, area in areas if area > SMALLEST_TRIM_MM2]


def _apart(plane: PlaneContours, distance_mm: float) -> PlaneContours:
    """Return a section with its pial boundary at least that far outside the white one."""
    if distance_mm == 0.0 or plane.white.is_empty:
        return plane
    mm_per_px = float(np.linalg.norm(plane.to_world[:, :2], axis=0).mean())
    return replace(plane, pial=multi_polygon(plane.pial.union(plane.white.buffer(distance_mm / mm_per_px))))


def _length(region: shapely.MultiPolygon, to_world: NDArray[np.float64]) -> float:
    rings = [ring for part in region.geoms for ring in (part.exterior, *part.interiors)]
    steps = (np.diff(shapely.get_coordinates(ring), axis=0) @ to_world[:, :2].T for ring in rings)
    return float(sum(np.linalg.norm(step, axis=1).sum() for step in steps))
