"""Cut-outs by place: around a node, pial side up, or around a point of the brain in the nearest section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError, StudyError, shown
from cytomesh.core.progress import warn
from cytomesh.graph.storage import graph_folder, load_graph
from cytomesh.imaging.cut import refuse_large, refuse_pixel_size
from cytomesh.imaging.normalise import open_run_study
from cytomesh.imaging.patches import read_patches
from cytomesh.imaging.pyramid import Pyramid, open_section
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain

UPRIGHT_DEG = 90.0
# Between sections that all have an image, no point is farther from one than half of what they lie apart.
FAR = 0.75
HINT = "give world positions of this brain in mm, RAS"


def cut_node(
    run: Path, name: str, node: int, size_px: int, um_per_px: float | None = None
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Cut the patch of a node as encoders see it: 8 bits, its pial side up.

    Parameters
    ----------
    name : str
        Of the graph, such as B01_hemi-L.
    um_per_px : float or None
        None: that of the section's image.

    Returns
    -------
    pixels : (size_px, size_px, n_channels) uint8
    facts : dict
        What was cut, for people.

    Raises
    ------
    GraphError
        If there is no such node, or it has no image.
    ImageError
        If a square of more than 2 GB, or finer pixels than there are, is wanted.
    """
    graph = load_graph(graph_folder(run, name))
    if not 0 <= node < graph.n_nodes:
        raise GraphError(name, f"node {node}", found="no such node", expected=f"0 to {graph.n_nodes - 1}")
    if not graph.is_linked[node]:
        reason = str(graph.nodes["link_reason"][node]) if "link_reason" in graph.nodes else ""
        raise GraphError(name, f"node {node}", found=f"no image ({reason or 'not linked'})", expected="a linked node")
    section = open_run_study(run).brain(graph.brain).section(int(graph.section[node]))
    pixel = np.array([graph.nodes["column_px"][node], graph.nodes["row_px"][node]], np.float64)
    angle = float(graph.nodes["angle_deg"][node])
    with open_section(section) as pyramid:
        pixels, facts = _patch(pyramid, section, pixel, angle, size_px, um_per_px)
    return pixels, {"graph": name, "node": node, **facts, "up": "pial side"}


def cut_point(
    brain: Brain, point: NDArray[np.float64], size_px: int, um_per_px: float | None = None
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Cut a square around a point of the brain out of the section that lies nearest, turned as its image.

    A point where sections are absent, or beyond the last one, is warned of: `FAR` of what sections usually lie apart.

    Parameters
    ----------
    point : (3,) float64
        World position, RAS, mm.

    Returns
    -------
    pixels : (size_px, size_px, n_channels) uint8
    facts : dict
        Among them `distance_mm`, of the point from the section.

    Raises
    ------
    StudyError
        If no section has an image, or the point lies beside that of the nearest, or farther from it than sections lie
        apart.
    """
    sections = [section for section in brain.sections if section.image is not None]
    if not sections:
        raise StudyError(brain.id, found="no section with an image", expected="one at least")
    heights = np.array([float(section.plane.distance(point[None])[0]) for section in sections])
    nearest = int(np.argmin(np.abs(heights)))
    section, distance = sections[nearest], abs(float(heights[nearest]))
    gaps = np.diff(np.sort(heights))
    apart = float(gaps.max(initial=0.0))
    if len(sections) > 1 and distance > apart:
        found = f"a point {distance:.1f} mm from the nearest section, {section.name}"
        raise StudyError(brain.id, found=found, expected=f"{apart:.1f} mm at most, as sections lie apart", hint=HINT)
    pixel = section.plane.pixels(point[None])[0]
    with open_section(section) as pyramid:
        height, width = pyramid.shape
        if not (-0.5 <= pixel[0] <= width - 0.5 and -0.5 <= pixel[1] <= height - 0.5):
            found = f"a point at column {pixel[0]:.0f}, row {pixel[1]:.0f} of the nearest section, {section.name}"
            raise StudyError(brain.id, found=found, expected=f"within its {width} x {height} px", hint=HINT)
        pixels, facts = _patch(pyramid, section, pixel, UPRIGHT_DEG, size_px, um_per_px)
    if gaps.size and distance > FAR * (usual := float(np.median(gaps))):
        warn(
            f"the nearest section with an image, {section.name}, lies {distance:.3g} mm from the point, where sections "
            f"usually lie {usual:.3g} mm apart: the image shows what is there, not at the point"
        )
    return pixels, {**facts, "distance_mm": round(distance, 4)}


def _patch(
    pyramid: Pyramid,
    section: Section,
    pixel: NDArray[np.float64],
    angle: float,
    size_px: int,
    um_per_px: float | None,
) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    um_per_px = section.um_per_px if um_per_px is None else um_per_px
    refuse_pixel_size(pyramid, section.um_per_px, um_per_px)
    refuse_large(pyramid, size_px**2 * pyramid.n_channels, "a smaller --size-px")
    patch = read_patches(pyramid, section.um_per_px, pixel[None], np.array([angle]), size_px, um_per_px)[0]
    place = {"column_px": round(float(pixel[0]), 2), "row_px": round(float(pixel[1]), 2), "angle_deg": round(angle, 2)}
    facts = {"section": section.name, "image": shown(section.image or ""), **place, "um_per_px": um_per_px}
    return np.moveaxis(patch, 0, -1), facts
