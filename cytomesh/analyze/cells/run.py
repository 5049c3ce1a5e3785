"""The stage `cells`: cells of sections measured by node, layer and depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import shapely
from numpy.typing import NDArray

from cytomesh.analyze.cells.config import CellsConfig
from cytomesh.analyze.cells.locate import (
    Layering,
    Located,
    by_depths,
    by_nearest_cell,
    by_node_boundaries,
    locate,
    no_layers,
    node_boundaries,
    ribbon_grid,
)
from cytomesh.analyze.cells.measure import (
    LAYERS,
    LEAST_POINTS,
    Tally,
    bins_of_depth,
    columns_of_nodes,
    everyone,
    units,
)
from cytomesh.analyze.cells.sections import SectionCells, cells_of_sections, section_files
from cytomesh.analyze.cells.table import Values
from cytomesh.analyze.cells.volume import SectionVolume, abercrombie, said, section_volume
from cytomesh.analyze.measures import load_measures, measures_read, numeric_columns, save_measures
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import CellError, ConfigError, QualityError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.progress import log, track, warn
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.core.reading import reading
from cytomesh.core.run import product, read_study_path
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.lookup import CortexLookup, open_lookup
from cytomesh.graph.provenance import LINKS, SURFACE, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.study.bids_files import BidsFiles
from cytomesh.study.contours import read_contours
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, Study, open_study

MOSTLY = 0.5
"""Cells around less of the cortex of a section than this were not looked for in all of it."""


def cells_run(
    run: Path, name: str, settings: CellsConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Measure cells; writes `analyze/<name>/` (`nodes/<graph>.parquet`, `layers.parquet`, `profile.parquet`).

    Returns
    -------
    dict
        The correction that was applied and, by graph and layer, density and size.

    Raises
    ------
    CellError, ConfigError, MissingStageError, StudyError
        If tables or layers are not there, or do not fit.
    QualityError
        If no cell lies in the cortex.
    StaleError
        If graphs or layers are stale, unless `allow_stale`.
    """
    study = open_study(read_study_path(run))
    graphs = [graph for graph in load_graphs(run) if _has_tables(study, graph, settings)]
    if not graphs:
        section_files(study, study.brains[0], settings.tables)  # says what is missing
    result = product(run, "analyze", name)
    with file_digests(run) as digests, result.open():
        inputs = _inputs(run, study, graphs, settings, digests)
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "measured again")
            with result.writing(inputs, settings, 0, resume=resume) as work:
                _measure_all(run, work.folder, study, graphs, settings)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        return summary(metrics)


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten `metrics.json` to what is printed."""
    found: dict[str, Any] = {"correction": metrics["correction"]}
    for graph, record in metrics["graphs"].items():
        found[f"{graph}: cells in cortex"] = record["n_cortex"]
        for row in record["layers"]:
            kept = {key: row[key] for key in ("density_per_mm2", "density_per_mm3", "area_um2") if row.get(key)}
            found[f"{graph}: {row['layer']}"] = kept
    return found


def _has_tables(study: Study, graph: CortexGraph, settings: CellsConfig) -> bool:
    try:
        return bool(section_files(study, study.brain(graph.brain), settings.tables))
    except CellError:
        return False


def _inputs(
    run: Path, study: Study, graphs: Sequence[CortexGraph], settings: CellsConfig, digests: FileDigests
) -> Inputs:
    named: dict[str, Path] = {}
    values: dict[str, Any] = {}
    sidecars = BidsFiles(study.path.parent)
    for brain in {graph.brain: study.brain(graph.brain) for graph in graphs}.values():
        files = section_files(study, brain, settings.tables)
        for section in (section for section in brain.sections if section.index in files):
            named[f"cells: {section.name}"] = files[section.index]
            if section.contours is not None:
                named[f"contours: {section.name}"] = section.contours
            volume = section_volume(sidecars, section, settings.volume)
            values[f"pixel size of the section: {section.name}"] = section.um_per_px
            values[f"thickness and shrinkage: {section.name}"] = [volume.section_um, volume.linear_shrinkage]
    contents = digests.digest_all(named.values())
    places = {what: place(path, run, study.path.parent) for what, path in named.items()}
    files_read = {what: (places[what], content) for what, content in zip(named, contents, strict=True)}
    inputs = Inputs(flat_settings(settings), values, files_read)
    inputs = inputs.merge(parts_read(run, graphs, (SURFACE, LINKS), digests))
    if settings.layers.source == "analysis":
        inputs = inputs.merge(measures_read(run, graphs, [f"{settings.layers.analysis}:"], digests))
    return inputs


@dataclass
class Hemisphere:
    """A graph, how its layers are told apart, and what has been counted in it.

    Parameters
    ----------
    graph : CortexGraph
    lookup : CortexLookup
    layering : Layering or None
        None: by the layers of the tables.
    nodes, depth, whole : Tally
        By node, bin of depth, and of all.
    n_cortex : int
        Cells in its cortex.
    sections : list of int
        Those that showed some of it.
    """

    graph: CortexGraph
    lookup: CortexLookup
    layering: Layering | None
    nodes: Tally
    depth: Tally
    whole: Tally = field(default_factory=lambda: Tally.empty(1))
    n_cortex: int = 0
    sections: list[int] = field(default_factory=list)


def _measure_all(run: Path, folder: Path, study: Study, graphs: Sequence[CortexGraph], settings: CellsConfig) -> None:
    sidecars = BidsFiles(study.path.parent)
    by_brain: dict[str, list[CortexGraph]] = {}
    for graph in graphs:
        by_brain.setdefault(graph.brain, []).append(graph)
    volumes: list[SectionVolume] = []
    read, notes, records = {"n_read": 0, "n_twice": 0, "n_outside": 0}, [], {}
    layers: list[dict[str, Any]] = []
    profile: list[dict[str, Any]] = []
    least_mm2 = LEAST_POINTS * (1e-3 * settings.grid_um) ** 2
    for brain_id, own in by_brain.items():
        brain = study.brain(brain_id)
        sides = [_hemisphere(run, graph, settings) for graph in own]
        n_sections = len(section_files(study, brain, settings.tables))
        for section, cells in track(_sections(study, brain, settings), f"cells of {brain_id}", n_sections, "sections"):
            volume = section_volume(sidecars, section, settings.volume)
            volumes.append(volume)
            for key in read:
                read[key] += getattr(cells, key)
            weight = _weights(section, cells, volume, settings)
            covered = [_count(side, section, cells, weight, volume, settings) for side in sides]
            if settings.tables.field == "image" and 0 < max(covered) < MOSTLY:
                notes.append(
                    f"{section.name}: cells lie around {100 * max(covered):.0f} % of its cortex only; if no more of it "
                    "was searched, set tables.field: cells"
                )
        for side in sides:
            if not side.n_cortex:
                notes.append(f"{side.graph.name}: no cell lies in its cortex")
            columns = side.nodes.columns(least_mm2, has_layers=settings.layers.source != "none")
            save_measures(folder, side.graph, columns, units(columns))
            named = {"graph": side.graph.name}
            own_layers = _layer_rows(side.whole, least_mm2, settings)
            own_profile = _profile_rows(side.depth, least_mm2)
            layers += [named | row for row in own_layers]
            profile += [named | row for row in own_profile]
            facts = {"n_cortex": side.n_cortex, "sections": side.sections}
            n_measured = int(np.isfinite(columns["density_per_mm2"]).sum())
            records[side.graph.name] = {**facts, "n_nodes": n_measured, "layers": own_layers, "profile": own_profile}
            log(f"cells: {side.graph.name}: {side.n_cortex:,} cells in cortex, {n_measured:,} nodes measured")
    if not any(record["n_cortex"] for record in records.values()):
        hint = "are tables.um_per_px and tables.offset_px right, and the tables of these sections?"
        found = f"{read['n_read']:,} cells, none of them in the cortex"
        raise QualityError("cells", found=found, expected="cells between pial and white", hint=hint)
    notes += [
        f"{read[key]:,} of {read['n_read']:,} cells {what}, left out"
        for key, what in (("n_twice", "given twice"), ("n_outside", "outside the image of their section"))
        if read[key]
    ]
    for note in notes:
        warn(f"cells: {note}")
    correction = said(volumes, settings.volume.overcount)
    log(f"cells: {correction}")
    _write_rows(folder / "layers.parquet", layers)
    _write_rows(folder / "profile.parquet", profile)
    facts = {"kind": "cells", "correction": correction, "volume": settings.volume.model_dump(), **read}
    facts |= {"radius_mm": settings.radius_mm, "grid_um": settings.grid_um, "depth": settings.depth}
    facts |= {"layers_from": settings.layers.source, "notes": notes}
    write_json(folder / "metrics.json", {**facts, "graphs": records})


def _sections(study: Study, brain: Brain, settings: CellsConfig) -> Iterator[tuple[Section, SectionCells]]:
    """Yield sections with their cells but for those in regions that the contours exclude."""
    for section, cells in cells_of_sections(study, brain, settings.tables):
        yield section, cells.of(~_excluded(section, cells.pixels))


def _excluded(section: Section, pixels: Values) -> NDArray[np.bool_]:
    if section.contours is None:
        return np.zeros(len(pixels), bool)
    region = read_contours(section).exclude
    shapely.prepare(region)
    return np.asarray(shapely.contains_xy(region, pixels[:, 0], pixels[:, 1]))


def _hemisphere(run: Path, graph: CortexGraph, settings: CellsConfig) -> Hemisphere:
    lookup = open_lookup(run, graph.name)
    layering: Layering | None = no_layers
    layers = settings.layers
    if layers.source == "table":
        layering = None
    elif layers.source == "depths":
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


def _weights(section: Section, cells: SectionCells, volume: SectionVolume, settings: CellsConfig) -> Values:
    """Return of how many cells of the tissue each one stands for, (n,)."""
    if settings.volume.overcount == "none" or volume.section_um is None:
        return np.ones(len(cells))
    diameter = cells.measures.get("diameter_um", np.full(len(cells), np.nan))
    if not np.isfinite(diameter).all():
        found = f"{int((~np.isfinite(diameter)).sum()):,} of {len(cells):,} cells without an area"
        hint = "give areas in the table, or set volume.overcount: none"
        raise CellError(section.name, found=found, expected="the size of each cell, for Abercrombie's", hint=hint)
    return abercrombie(diameter, volume.section_um)


def _count(
    side: Hemisphere,
    section: Section,
    cells: SectionCells,
    weight: Values,
    volume: SectionVolume,
    settings: CellsConfig,
) -> float:
    """Count the cells and the cortex of one section; return around how much of the cortex there are cells."""
    if section.index not in side.lookup.planes:
        return 0.0
    layering = side.layering
    if layering is None:
        if cells.layer is None:
            hint = "add one (1 to 6, or I to VI), or tell layers apart by depths or an analysis"
            raise CellError(section.name, found="cells without a layer", expected="a column layer", hint=hint)
        layering = by_nearest_cell(cells.pixels, cells.layer)
    grid = ribbon_grid(side.lookup, section.index, settings.grid_um / section.um_per_px)
    grid = grid[~_excluded(section, grid)]
    hull = shapely.convex_hull(shapely.multipoints(cells.pixels))
    shapely.prepare(hull)
    is_near = np.asarray(shapely.contains_xy(hull, grid[:, 0], grid[:, 1]))
    found = locate(side.lookup, section.index, cells.pixels, layering, settings.depth)
    if not len(found) or not is_near.any():
        return 0.0
    cortex = locate(
        side.lookup,
        section.index,
        grid[is_near] if settings.tables.field == "cells" else grid,
        layering,
        settings.depth,
    )
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
    return float(is_near.mean())


def _layer_rows(whole: Tally, least_mm2: float, settings: CellsConfig) -> list[dict[str, Any]]:
    """Return one row for all layers and, where they are told apart, one for each."""
    columns = whole.columns(least_mm2, has_layers=settings.layers.source != "none")
    plain = [name for name in columns if not any(f"_{layer}_" in f"{name}_" for layer in LAYERS)]
    rows = [{"layer": "all", **{name: _value(columns[name]) for name in plain}}]
    if settings.layers.source == "none":
        return rows
    for layer in LAYERS:
        row: dict[str, Any] = {"layer": layer}
        for name in plain:
            row[name] = _value(columns[of_layer(name, layer)])
        rows.append(row)
    return rows


def of_layer(name: str, layer: str) -> str:
    """Return the name of a measure's column for one layer: density_per_mm2 -> density_III_per_mm2."""
    if name == "n_cells":
        return f"{name}_{layer}"
    stem, _, unit = name.partition("_")
    return f"{stem}_{layer}_{unit}" if unit else f"{stem}_{layer}"


def _profile_rows(depth: Tally, least_mm2: float) -> list[dict[str, Any]]:
    columns = depth.columns(least_mm2, has_layers=False)
    n = len(depth.mm2)
    return [
        {"depth": (i + 0.5) / n, **{name: _value(values[i : i + 1]) for name, values in columns.items()}}
        for i in range(n)
    ]


def _value(values: Values) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = {"graph", "layer"}
    columns = {
        name: np.array([row.get(name) for row in rows], dtype=None if name in text else np.float64) for name in names
    }
    write_table(path, Table(columns, units(columns)))
