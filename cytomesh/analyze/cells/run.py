"""The stage `cells`: cells of sections measured by node, layer and depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.cells.config import CellsConfig
from cytomesh.analyze.cells.count import count, excluded, hemisphere, section_layering, weights
from cytomesh.analyze.cells.drawn import drawn_path, drawn_rows, read_drawn
from cytomesh.analyze.cells.figures import write_figures
from cytomesh.analyze.cells.measure import LEAST_POINTS, units
from cytomesh.analyze.cells.rows import layer_rows, profile_rows, write_rows
from cytomesh.analyze.cells.sections import SectionCells, cells_of_sections, section_files
from cytomesh.analyze.cells.volume import SectionVolume, said, section_volume
from cytomesh.analyze.layers.truth import TruthFiles, truth_files, truth_read
from cytomesh.analyze.measures import measures_read, save_measures
from cytomesh.analyze.products import analysis_product
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import CellError, QualityError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.progress import log, track, warn
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.core.reading import reading
from cytomesh.core.run import read_study_path
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import LINKS, SURFACE, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.study.bids_files import BidsFiles
from cytomesh.study.sections import Section
from cytomesh.study.study import Brain, Study, open_study

MOSTLY = 0.5
"""Cells around less of the cortex of a section than this were not looked for in all of it."""
APART_UM = 1.0
"""No cell is so thin that the next one's centre is nearer."""


def cells_run(
    run: Path, name: str, settings: CellsConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Measure cells; writes `analyze/<name>/` (`nodes/<graph>.parquet`, `layers.parquet`, `profile.parquet`).

    Where INM-1's `layerinfo.txt` lies beside `segments.txt`, `drawn.parquet` has the densities by its areas.

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
    known = load_graphs(run)
    graphs = [graph for graph in known if _has_tables(study, graph, settings)]
    if not graphs:
        section_files(study, study.brain(known[0].brain), settings.tables)  # says what is missing
    result = analysis_product(run, name, "cells")
    with file_digests(run) as digests, result.open():
        inputs = _inputs(run, study, graphs, settings, digests)
        inputs = inputs.merge(parts_read(run, known, (SURFACE, LINKS), digests))  # nodes without a table get NaN
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "measured again")
            with result.writing(inputs, settings, 0, resume=resume) as work:
                columns = _measure_all(run, work.folder, study, graphs, settings)
                for graph in (graph for graph in known if not _has_tables(study, graph, settings)):
                    nowhere = dict.fromkeys(columns, np.full(graph.n_nodes, np.nan))
                    save_measures(work.folder, graph, nowhere, units(columns))
                    log(f"cells: {graph.name} has no table of cells")
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
            if (drawn := drawn_path(files[section.index])) is not None:
                named[f"areas of layers: {section.name}"] = drawn
            if section.contours is not None:
                named[f"contours: {section.name}"] = section.contours
            volume = section_volume(sidecars, section, settings.volume)
            values[f"pixel size of the section: {section.name}"] = section.um_per_px
            values[f"thickness and shrinkage: {section.name}"] = [volume.section_um, volume.linear_shrinkage]
    contents = digests.digest_all(named.values())
    places = {what: place(path, run, study.path.parent) for what, path in named.items()}
    files_read = {what: (places[what], content) for what, content in zip(named, contents, strict=True)}
    inputs = Inputs(flat_settings(settings), values, files_read)
    if settings.layers.source == "analysis":
        inputs = inputs.merge(measures_read(run, graphs, [f"{settings.layers.analysis}:"], digests))
    return inputs.merge(truth_read(run, study, _masks(study, graphs, settings), digests))


def _masks(study: Study, graphs: Sequence[CortexGraph], settings: CellsConfig) -> TruthFiles:
    """Return what was drawn of layers, by section."""
    if settings.layers.source != "masks":
        return {}
    brains = dict.fromkeys(graph.brain for graph in graphs)
    sections = [section for brain in brains for section in study.brain(brain).sections]
    return truth_files(study, sections, settings.layers.truth)


def _measure_all(
    run: Path, folder: Path, study: Study, graphs: Sequence[CortexGraph], settings: CellsConfig
) -> list[str]:
    """Measure the cells of graphs that have tables; returns the names of all measures of nodes."""
    sidecars = BidsFiles(study.path.parent)
    by_brain: dict[str, list[CortexGraph]] = {}
    for graph in graphs:
        by_brain.setdefault(graph.brain, []).append(graph)
    volumes: list[SectionVolume] = []
    read, notes, records = {"n_read": 0, "n_twice": 0, "n_outside": 0}, [], {}
    layers: list[dict[str, Any]] = []
    profile: list[dict[str, Any]] = []
    drawn: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    masks = _masks(study, graphs, settings)
    least_mm2 = LEAST_POINTS * (1e-3 * settings.grid_um) ** 2
    for brain_id, own in by_brain.items():
        brain = study.brain(brain_id)
        sides = [hemisphere(run, graph, settings) for graph in own]
        files = section_files(study, brain, settings.tables)
        n_sections, counted = len(files), set()
        for section, cells in track(_sections(study, brain, settings), f"cells of {brain_id}", n_sections, "sections"):
            volume = section_volume(sidecars, section, settings.volume)
            volumes.append(volume)
            counted.add(section.index)
            for key in read:
                read[key] += getattr(cells, key)
            weight = weights(section, cells, volume, settings)
            mask = masks.get((section.brain, section.index))
            layering = section_layering(section, cells, mask, settings.layers)
            if (path := drawn_path(files[section.index])) is not None:
                drawn += drawn_rows(section, cells, weight, read_drawn(path), volume)
            shares = [count(side, section, cells, weight, layering, volume, settings) for side in sides]
            notes += _said_of(section, cells, [share for share in shares if share is not None], settings)
        if masks and (unknown := sorted(index for index in counted if (brain_id, index) not in masks)):
            notes.append(f"{brain_id}: no layers were drawn in sections {', '.join(map(str, unknown))}")
        if settings.tables.is_per_section and (empty := sorted(files.keys() - counted)):
            notes.append(f"{brain_id}: no cells in the tables of sections {', '.join(map(str, empty))}: left out")
        for side in sides:
            if not side.n_cortex:
                notes.append(f"{side.graph.name}: no cell lies in its cortex")
            columns = side.nodes.columns(least_mm2, has_layers=settings.layers.source != "none")
            save_measures(folder, side.graph, columns, units(columns))
            names |= dict.fromkeys(columns)
            named = {"graph": side.graph.name}
            own_layers = layer_rows(side.whole, least_mm2, settings)
            own_profile = profile_rows(side.depth, least_mm2)
            layers += [named | row for row in own_layers]
            profile += [named | row for row in own_profile]
            facts = {"n_cortex": side.n_cortex, "sections": side.sections}
            n_measured = int(np.isfinite(columns["density_per_mm2"]).sum())
            records[side.graph.name] = {**facts, "n_nodes": n_measured, "layers": own_layers, "profile": own_profile}
            log(f"cells: {side.graph.name}: {side.n_cortex:,} cells in cortex, {n_measured:,} nodes measured")
    _check_measured(records, layers, read["n_read"], least_mm2)
    notes += [
        f"{read[key]:,} of {read['n_read']:,} cells {what}, left out"
        for key, what in (("n_twice", "given twice"), ("n_outside", "outside the image of their section"))
        if read[key]
    ]
    for note in notes:
        warn(f"cells: {note}")
    correction = said(volumes, settings.volume.overcount)
    log(f"cells: {correction}")
    write_rows(folder / "layers.parquet", layers)
    write_rows(folder / "profile.parquet", profile)
    if drawn:
        write_rows(folder / "drawn.parquet", drawn)
    facts = {"kind": "cells", "correction": correction, "volume": settings.volume.model_dump(), **read}
    facts |= {"radius_mm": settings.radius_mm, "grid_um": settings.grid_um, "depth": settings.depth}
    facts |= {"layers_from": settings.layers.source, "notes": notes, "drawn": drawn}
    metrics = {**facts, "graphs": records}
    write_figures(folder, metrics)
    write_json(folder / "metrics.json", metrics)
    return list(names)


def _check_measured(
    records: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], n_read: int, least_mm2: float
) -> None:
    """Fail where nothing was measured: no cell in the cortex, or no cortex to count them over."""
    if not any(record["n_cortex"] for record in records.values()):
        hint = "are tables.um_per_px and tables.offset_px right, and the tables of these sections?"
        found = f"{n_read:,} cells, none of them in the cortex"
        raise QualityError("cells", found=found, expected="cells between pial and white", hint=hint)
    if not any(np.isfinite(row["density_per_mm2"] or np.nan) for row in layers):
        hint = "make grid_um smaller; if all of the cortex was searched, set tables.field: image"
        found = f"cells around less than {least_mm2:g} mm2 of cortex"
        raise QualityError("cells", found=found, expected="cortex enough for a density", hint=hint)


def _said_of(section: Section, cells: SectionCells, shares: Sequence[float], settings: CellsConfig) -> list[str]:
    """Return what is odd about the cells of a section; `shares`: around how much of each hemisphere's cortex they lie.

    The distance between neighbours tells two segmentations of one image in one table.
    """
    notes = []
    if not shares:
        notes.append(f"{section.name}: none of its {len(cells):,} cells lies in cortex")
    elif settings.tables.field == "image" and max(shares) < MOSTLY:
        notes.append(
            f"{section.name}: cells lie around {100 * max(shares):.0f} % of its cortex only; if no more of it was "
            "searched, set tables.field: cells; if it was, check tables.um_per_px"
        )
    nearest = cells.measures.get("nearest_um", np.empty(0))
    if len(nearest) and np.median(nearest) < APART_UM:
        notes.append(
            f"{section.name}: most cells lie within {APART_UM:g} um of another; was the section segmented twice?"
        )
    return notes


def _sections(study: Study, brain: Brain, settings: CellsConfig) -> Iterator[tuple[Section, SectionCells]]:
    """Yield sections with their cells but for those in regions that the contours exclude."""
    for section, cells in cells_of_sections(study, brain, settings.tables):
        yield section, cells.of(~excluded(section, cells.pixels))
