"""One hemisphere's cells and cortex, counted section by section."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import shapely
from numpy.typing import NDArray

from cytomesh.analyze.cells.config import CellsConfig, LayersConfig
from cytomesh.analyze.cells.locate import (
    Layering,
    Located,
    by_depths,
    by_labels,
    by_nearest_cell,
    by_node_boundaries,
    locate,
    no_layers,
    node_boundaries,
    ribbon_grid,
)
from cytomesh.analyze.cells.measure import LAYERS, Tally, bins_of_depth, columns_of_nodes, everyone
from cytomesh.analyze.cells.sections import SectionCells
from cytomesh.analyze.cells.table import Values
from cytomesh.analyze.cells.volume import SectionVolume, abercrombie
from cytomesh.analyze.layers.truth import read_truth
from cytomesh.analyze.measures import load_measures, numeric_columns
from cytomesh.core.errors import CellError, ConfigError
from cytomesh.graph.lookup import CortexLookup, open_lookup
from cytomesh.graph.storage import CortexGraph
from cytomesh.study.contours import read_contours
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.sections import Section


@dataclass
class Hemisphere:
    """A graph, how its layers are told apart, and what has been counted in it.

    Parameters
    ----------
    graph : CortexGraph
    lookup : CortexLookup
    layering : Layering
        Where a section has none of its own, see `section_layering`.
    nodes, depth, whole : Tally
        By node, bin of depth, and of all.
    n_cortex : int
        Cells in its cortex.
    sections : list of int
        Those that showed some of it.
    """

    graph: CortexGraph
    lookup: CortexLookup
    layering: Layering
    nodes: Tally
    depth: Tally
    whole: Tally = field(default_factory=lambda: Tally.empty(1))
    n_cortex: int = 0
    sections: list[int] = field(default_factory=list)


def hemisphere(run: Path, graph: CortexGraph, settings: CellsConfig) -> Hemisphere:
    """Open a graph for counting.

    Raises
    ------
    ConfigError, GraphError, MissingStageError
        If layers are wanted from an analysis that is not there, or has none.
    """
    lookup = open_lookup(run, graph.name)
    layering: Layering = no_layers
    layers = settings.layers
    if layers.source == "depths":
        layering = by_depths(lookup.ribbon, np.array(layers.depths), settings.depth)
    elif layers.source == "analysis":
        table = load_measures(run, layers.analysis, graph)
        known = {column: table[column] for column in numeric_columns(table)}
        boundaries = node_boundaries(known, LAYERS)
        if boundaries is None:
            found = f"no columns layer_I_share ... layer_VI_share, nor layer_I_mm ..., of {graph.name}"
            hint = "name the analysis that measured layers"
            raise ConfigError("layers.analysis", layers.analysis, found=found, hint=hint)
        layering = by_node_boundaries(lookup.ribbon, boundaries)
    return Hemisphere(graph, lookup, layering, Tally.empty(graph.n_nodes), Tally.empty(settings.depth_bins))


def section_layering(
    section: Section, cells: SectionCells, drawn: Path | None, settings: LayersConfig
) -> Layering | None:
    """Return how layers are told apart in one section: by its cells, or as drawn (`drawn`); None: as in all others.

    Raises
    ------
    CellError
        If layers are wanted from a table that has none.
    ContourError, ImageError
        If what was drawn cannot be read, or is not of this section.
    """
    if settings.source == "masks":
        if drawn is None or section.image is None:
            return no_layers
        shape = read_header(section.image, section.image_part).shape
        return by_labels(read_truth(drawn, section, shape, settings.truth))
    if settings.source != "table":
        return None
    if cells.layer is None or not cells.layer.any():
        hint = "write 1 to 6 or I to VI, or tell layers apart by depths or an analysis"
        expected = "a column layer that names layers"
        raise CellError(section.name, found="cells without a layer", expected=expected, hint=hint)
    return by_nearest_cell(cells.pixels, cells.layer)


def weights(section: Section, cells: SectionCells, volume: SectionVolume, settings: CellsConfig) -> Values:
    """Return of how many cells of the tissue each one stands for, (n,).

    Raises
    ------
    CellError
        If cells cut through are to be discounted, and some have no size or the section no thickness.
    """
    if settings.volume.overcount == "none":
        return np.ones(len(cells))
    if volume.section_um is None:
        hint = "set volume.section_um, or SliceThickness in the image's sidecar; or volume.overcount: none"
        expected = "the thickness of the section, for Abercrombie's"
        raise CellError(section.name, found="a section of unknown thickness", expected=expected, hint=hint)
    diameter = cells.measures.get("diameter_um", np.full(len(cells), np.nan))
    if not np.isfinite(diameter).all():
        found = f"{int((~np.isfinite(diameter)).sum()):,} of {len(cells):,} cells without an area"
        hint = "give areas in the table, or set volume.overcount: none"
        raise CellError(section.name, found=found, expected="the size of each cell, for Abercrombie's", hint=hint)
    return abercrombie(diameter, volume.section_um)


def count(
    side: Hemisphere,
    section: Section,
    cells: SectionCells,
    weight: Values,
    layering: Layering | None,
    volume: SectionVolume,
    settings: CellsConfig,
) -> float | None:
    """Count the cells and the cortex of one section; `layering`: of this section, see `section_layering`.

    Returns
    -------
    float or None
        Around how much of the cortex there are cells, 0 to 1; None if there are none in it.
    """
    if section.index not in side.lookup.planes:
        return None
    layering = layering or side.layering
    found = locate(side.lookup, section.index, cells.pixels, layering, settings.depth)
    if not len(found):  # the other hemisphere's
        return None
    grid = ribbon_grid(side.lookup, section.index, settings.grid_um / section.um_per_px)
    grid = grid[~excluded(section, grid)]
    hull = shapely.convex_hull(shapely.multipoints(cells.pixels))
    shapely.prepare(hull)
    is_near = np.asarray(shapely.contains_xy(hull, grid[:, 0], grid[:, 1]))
    searched = grid[is_near] if settings.tables.field == "cells" else grid
    cortex = locate(side.lookup, section.index, searched, layering, settings.depth)
    side.n_cortex += len(found)
    side.sections.append(section.index)
    linked = np.flatnonzero(side.graph.is_linked & (side.graph.section == section.index))
    pixels = side.graph.nodes.stack(["column_px", "row_px"])[linked]
    links = side.lookup.planes[section.index].world(pixels)
    mm2 = (1e-3 * settings.grid_um) ** 2
    mm3 = float(volume.tissue_mm3(np.array(mm2)))
    measures = {name: values[found.index] for name, values in cells.measures.items()}

    def groups(located: Located) -> list[sp.csr_matrix]:
        column = columns_of_nodes(located.feet, links, linked, side.graph.n_nodes, settings.radius_mm)
        return [column, bins_of_depth(located.depth, settings.depth_bins), everyone(len(located))]

    for tally, of_cells, of_cortex in zip(
        (side.nodes, side.depth, side.whole), groups(found), groups(cortex), strict=True
    ):
        tally.add_cells(of_cells, found.layer, weight[found.index], measures)
        tally.add_cortex(of_cortex, cortex.layer, mm2, mm3)
    return float(is_near.mean()) if len(grid) else 0.0


def excluded(section: Section, pixels: Values) -> NDArray[np.bool_]:
    """Return which of (n, 2) pixels lie in regions that the contours of their section exclude, (n,)."""
    if section.contours is None:
        return np.zeros(len(pixels), bool)
    region = read_contours(section).exclude
    shapely.prepare(region)
    return np.asarray(shapely.contains_xy(region, pixels[:, 0], pixels[:, 1]))
