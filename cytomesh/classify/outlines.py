"""Outlines of predicted areas in the sections' pixels, for QuPath: the proposal where an expert looks at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.classify.label_rings import label_polygons, smooth_borders
from cytomesh.core.errors import CytomeshError
from cytomesh.core.progress import track, warn
from cytomesh.graph.lookup import CortexLookup, open_lookup
from cytomesh.graph.storage import CortexGraph
from cytomesh.study.contour_formats.features import CORNER
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.surface.distance import signed_distance

REACH_MM = 5.0
"""Cortex is looked for this far around the pixels of linked nodes: more than it is thick."""
MARGIN = 0.25
TOLERANCE = 0.2
"""Of outlines, in samples: what is simplified away is of this size squared (see `shapely.coverage_simplify`)."""
DECIMALS = 2
"""Of outlines in files: a hundredth of a pixel, below what the grid of samples resolves."""


def section_outlines(
    lookup: CortexLookup, section: int, labels: NDArray[np.int32], step_mm: float
) -> dict[int, MultiPolygon]:
    """Return the outline of every area that a section shows, in pixels (centres at integers).

    The section is sampled on a square grid; each sample inside the cortex takes the label of its node.

    Parameters
    ----------
    labels : (n,) int32
        Area of each node; 0 is left out.
    step_mm : float
        Grid step; outlines are true to about half of it.

    Returns
    -------
    dict of int to MultiPolygon
        By label; empty where no node has a place in the section's image.

    Raises
    ------
    GraphError
        If the graph has no such section.
    """
    graph = lookup.graph
    plane = lookup.plane(section)
    nodes = np.flatnonzero(graph.has_image & (graph.section == section))
    if not nodes.size:
        return {}
    _, seen = lookup.pixels(nodes)
    step = step_mm / float(np.linalg.norm(plane.to_world[:, 0]))
    reach = REACH_MM / step_mm * step
    low, high = seen.min(axis=0) - reach, seen.max(axis=0) + reach
    columns, rows = (np.arange(a, b + step, step) for a, b in zip(low, high, strict=True))
    candidates = np.flatnonzero(_is_cortex(lookup, section, low, step, (len(columns), len(rows))))
    row, column = np.divmod(candidates, len(columns))
    samples = np.stack([columns[column], rows[row]], axis=1)
    is_near = np.isfinite(cKDTree(seen).query(samples, distance_upper_bound=reach)[0])
    candidates, samples = candidates[is_near], samples[is_near]
    node = lookup.places(section, samples, _earlier(candidates, len(columns))).nodes(lookup.ribbon)
    image = np.zeros(len(rows) * len(columns), np.int32)
    image[candidates] = np.where(node >= 0, labels[node], 0)
    return _polygons(image.reshape(len(rows), len(columns)), low, step)


def _earlier(candidates: NDArray[np.int64], n_columns: int) -> NDArray[np.int64]:
    """Return the rows of the samples on the left of each candidate and above it, (n, 2); -1 where that is none."""
    sides = candidates[:, None] - [1, n_columns]  # one to the left of a row's first is at most a bad guess
    rows = np.searchsorted(candidates, sides)
    return np.where(candidates[rows] == sides, rows, -1)


def _is_cortex(
    lookup: CortexLookup, section: int, low: NDArray[np.float64], step: float, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which samples lie between the boundaries that the section cuts, or `MARGIN` samples off.

    To find that a sample has no place in the cortex takes ten times as long as to find its place.

    Parameters
    ----------
    low : (2,) float64
        (column, row) of the first sample, px.
    step : float
        Distance of samples, px.
    shape : (int, int)
        Number of columns and rows of samples.

    Returns
    -------
    (n_rows * n_columns,) bool
        Row by row.
    """
    within_pial, within_white = (
        signed_distance(((ends - low) / step).reshape(-1, 4), *shape) for ends in lookup.boundaries(section)
    )
    return np.asarray(((within_pial > -MARGIN) & (within_white < MARGIN)).T.ravel())


def shown_sections(graph: CortexGraph) -> list[int]:
    """Return the sections in whose images a graph's areas can be outlined; none of imported surfaces."""
    return [int(section) for section in np.unique(graph.section[graph.has_image])]


def write_outlines(run: Path, folder: Path, graph: CortexGraph, labels: NDArray[np.int32], step_mm: float) -> None:
    """Write `outlines/<graph>_section-<index>.geojson` for each section: QuPath annotations in the areas' colours.

    Where the study is not there, nothing is written, and a warning says so.

    Parameters
    ----------
    labels : (n,) int32
        Area of each node; 0 is left out.
    step_mm : float
        See `section_outlines`.
    """
    sections = shown_sections(graph)
    if not sections:
        return
    try:
        lookup = open_lookup(run, graph.name)
    except CytomeshError as error:  # areas and scores are whole without
        warn(f"{graph.name}: no outlines: {error}")
        return
    colours = {name: np.rint(255 * rgba[:3]).astype(int).tolist() for _, name, rgba in graph.labels.rows()}
    for section in track(sections, f"outlines of {graph.name}", unit="sections"):
        outlines = section_outlines(lookup, section, labels, step_mm)
        named = {graph.labels.name(label): _rounded(polygons) for label, polygons in outlines.items()}
        write_geojson(folder / "outlines" / f"{graph.name}_section-{section:04d}.geojson", named, colours)


def _rounded(polygons: MultiPolygon) -> MultiPolygon:
    """Return polygons whose coordinates have two decimals in QuPath's pixels, which are counted from the corner."""
    parts = shapely.get_parts(shapely.set_precision(polygons, 10.0**-DECIMALS))
    kept = MultiPolygon([part for part in parts if isinstance(part, Polygon)])
    return shapely.transform(kept, lambda xy: np.round(xy + CORNER, DECIMALS) - CORNER)


def _polygons(image: NDArray[np.int32], origin: NDArray[np.float64], step: float) -> dict[int, MultiPolygon]:
    """Outline each value of a label image whose pixel (0, 0) is centred on `origin`, as polygons with their holes."""
    regions = label_polygons(image)
    if not regions:
        return {}
    smooth = shapely.coverage_simplify(smooth_borders(list(regions.values())), TOLERANCE)
    result = {}
    for label, region in zip(regions, smooth, strict=True):
        parts = shapely.get_parts(shapely.transform(region, lambda xy: origin + step * xy))
        result[label] = MultiPolygon([part for part in parts if isinstance(part, Polygon)])
    return result
