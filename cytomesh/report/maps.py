"""Node maps that the surface viewer shows: areas, predictions, confidence, parcels and morphometry of one graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.classes import LAYERS
from cytomesh.analyze.measures import ORIGIN, load_measures
from cytomesh.analyze.own_measures import ELSEWHERE
from cytomesh.core.counted import counted
from cytomesh.core.errors import CytomeshError, MissingStageError
from cytomesh.core.labels import LabelTable
from cytomesh.core.progress import log
from cytomesh.core.run import finished_folders
from cytomesh.core.tables import read_table
from cytomesh.graph.neighbourhoods import nearest_source
from cytomesh.graph.storage import CortexGraph
from cytomesh.page.colours import CIVIDIS, OKABE_ITO, VIRIDIS, table_colours
from cytomesh.surface.gifti import read_labels, read_scalars

MAX_GRADIENTS = 3
ANNOTATION, THICKNESS = "annotation", "cortical thickness"
NO_CORTEX = "no cortex"
PALE = "from the nearest annotated section"
NO_CORTEX_COLOUR = "#6f6a63"
BLUE, YELLOW, VERMILION = (OKABE_ITO[name] for name in ("blue", "yellow", "vermilion"))
GREEN, ORANGE, PURPLE = (OKABE_ITO[name] for name in ("green", "orange", "purple"))
CHANGE_TABLE = LabelTable(
    (1, 2, 3, 4, 5),
    (
        "as registered",
        "changed: now correct",
        "changed: now wrong",
        "changed: wrong before and now",
        "changed: not annotated",
    ),
    table_colours("#d9d5cf", GREEN, VERMILION, ORANGE, PURPLE),
)
CHECK_TABLE = LabelTable((1, 2), ("as annotated", "differs"), table_colours(BLUE, VERMILION))
ROLE_TABLE = LabelTable(
    (1, 2, 3, 4),
    ("train section", "val section", "test section", "section without role"),
    table_colours(BLUE, YELLOW, VERMILION, "#99bfd9"),
)


@dataclass(frozen=True, slots=True)
class LabelMap:
    """An integer a node, with names and colours; 0 is drawn grey as `none`.

    Parameters
    ----------
    details : tuple of tuples of str
        Lines shown below the name of each label, in the order of the table; empty: none.
    is_pale : (n,) bool or None
        Nodes whose label is not their own, see `PALE`.
    """

    title: str
    group: str
    values: NDArray[np.int32]
    table: LabelTable
    none: str = "none"
    details: tuple[tuple[str, ...], ...] = ()
    is_pale: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class ScalarMap:
    """A number per node; what is not finite is drawn grey.

    Parameters
    ----------
    limits : (float, float) or None
        Ends of the colour scale; None takes percentiles 2 and 98 over all graphs.
    """

    title: str
    group: str
    values: NDArray[np.float64]
    unit: str
    colours: tuple[str, ...] = VIRIDIS
    limits: tuple[float, float] | None = None


NodeMap = LabelMap | ScalarMap


def node_maps(run: Path, graph: CortexGraph) -> list[NodeMap]:
    """Collect every map of a graph that the run holds, in the order of the selector.

    Maps of another number of nodes, of damaged files, are logged and left out.
    """
    maps = [
        annotation_map(graph),
        *_classifications(run, graph),
        *_parcellations(run, graph),
        *_morphometry(graph),
        *_measures(run, graph),
    ]
    for item in maps:
        if len(item.values) != graph.n_nodes:
            log(f"left out of the report: {graph.name}, {item.title}: {len(item.values)} of {graph.n_nodes} nodes")
    return [item for item in maps if len(item.values) == graph.n_nodes]


def annotation_map(graph: CortexGraph) -> LabelMap:
    """Return the map of expert areas; faces at which the tissue was cut are told from what is not annotated.

    Where only some sections are annotated, nodes of sections between them take the nearest annotated node's area, and
    are pale: they would be grey stripes.
    """
    table, values = graph.labels, filled_annotation(graph)
    is_pale = values != graph.annotation
    if not graph.is_cortex.all():
        outside = max(table.indices, default=0) + 1
        colours = np.vstack([table.colours.reshape(-1, 4), table_colours(NO_CORTEX_COLOUR)])
        table = LabelTable((*table.indices, outside), (*table.names, NO_CORTEX), colours)
        values = np.where(graph.is_cortex, values, outside).astype(np.int32)
    return LabelMap(ANNOTATION, "areas", values, table, "not annotated", is_pale=is_pale if is_pale.any() else None)


def filled_annotation(graph: CortexGraph) -> NDArray[np.int32]:
    """Return annotations, (n,), with those of the nearest node along the mesh in sections between annotated ones."""
    annotated = np.flatnonzero(graph.annotation > 0)
    values = graph.annotation.copy()
    sections = np.unique(graph.section[annotated])
    sections = sections[sections >= 0]
    if not len(sections):
        return values
    is_between = (graph.section > sections[0]) & (graph.section < sections[-1]) & ~np.isin(graph.section, sections)
    empty = np.flatnonzero(is_between & graph.is_cortex & (values == 0))
    if len(empty):
        nearest = nearest_source(graph.adjacency, annotated)[empty]
        values[empty[nearest >= 0]] = values[annotated[nearest[nearest >= 0]]]
    return values


def thickness_map(graph: CortexGraph) -> ScalarMap:
    """Return the map of cortical thickness; without values where there was no pial or white surface."""
    known = graph.nodes["thickness_mm"] if "thickness_mm" in graph.nodes else np.full(graph.n_nodes, np.nan)
    return ScalarMap(THICKNESS, "morphometry", np.asarray(known, np.float64), "mm")


def with_values(maps: Mapping[str, Sequence[NodeMap]]) -> dict[str, list[NodeMap]]:
    """Leave out maps without a value in any graph, which is logged: they would be grey all over."""
    every = dict.fromkeys(item.title for items in maps.values() for item in items)
    titles = {item.title for items in maps.values() for item in items if _has_values(item)}
    if empty := [title for title in every if title not in titles]:
        log(f"left out, as no node has a value: {counted(len(empty), 'map')} ({', '.join(empty)})")
    return {graph: [item for item in items if item.title in titles] for graph, items in maps.items()}


def first_title(maps: Mapping[str, Sequence[NodeMap]], wanted: Sequence[str]) -> str:
    """Return which of some maps the first graph has a value of, else whatever comes first there."""
    first = next(iter(maps.values()))
    there = [item.title for item in first if _has_values(item)] or [item.title for item in first]
    return next((title for title in wanted if title in there), there[0])


def _has_values(item: NodeMap) -> bool:
    if isinstance(item, LabelMap):
        names = dict(zip(item.table.indices, item.table.names, strict=True))
        return any(names.get(int(label)) not in (None, NO_CORTEX) for label in np.unique(item.values))
    return bool(np.isfinite(item.values).any())


def prediction_title(model: str) -> str:
    """Return the title of a model's map of predicted areas."""
    return f"prediction, {model}"


def _classifications(run: Path, graph: CortexGraph) -> list[NodeMap]:
    maps: list[NodeMap] = []
    for folder in finished_folders(run, "classify"):
        label_file = folder / f"{graph.name}.label.gii"
        if not label_file.is_file():
            continue
        predicted, table = read_labels(label_file)
        name = folder.name
        maps.append(LabelMap(prediction_title(name), "prediction", predicted, table, "not predicted"))
        confidence_file = folder / f"{graph.name}_confidence.func.gii"
        if confidence_file.is_file():
            confidence = next(iter(read_scalars(confidence_file).values())).astype(np.float64)
            if len(confidence) == len(predicted):
                confidence = np.where(predicted > 0, confidence, np.nan)
            maps.append(ScalarMap(f"confidence, {name}", "confidence", confidence, "", CIVIDIS, (0.0, 1.0)))
        if len(predicted) != graph.n_nodes:
            continue
        is_compared = (graph.annotation > 0) & (predicted > 0)
        if is_compared.any():
            check = np.where(is_compared, np.where(predicted == graph.annotation, 1, 2), 0).astype(np.int32)
            maps.append(LabelMap(f"agreement, {name}", "agreement", check, CHECK_TABLE, "not compared"))
        maps += _changes(folder, graph, predicted)
    return maps


def _changes(folder: Path, graph: CortexGraph, predicted: NDArray[np.int32]) -> list[NodeMap]:
    """Return where images changed the answer of the registered areas, if these were asked."""
    path = folder / "predictions" / f"{graph.name}.parquet"
    columns = read_table(path).columns if path.is_file() else {}
    if len(columns.get("registered_area", ())) != len(predicted):
        return []
    before, truth = np.asarray(columns["registered_area"]), graph.annotation
    kinds = [predicted == 0, predicted == before, truth == 0, predicted == truth, before == truth]
    values = np.select(kinds, [0, 1, 5, 2, 3], 4).astype(np.int32)
    return [LabelMap(f"changed by images, {folder.name}", "changes", values, CHANGE_TABLE, "not predicted")]


def _parcellations(run: Path, graph: CortexGraph) -> list[NodeMap]:
    maps: list[NodeMap] = []
    for folder in finished_folders(run, "parcellate"):
        label_file = folder / f"{graph.name}.label.gii"
        if label_file.is_file():
            parcels, table = read_labels(label_file)
            maps.append(LabelMap(f"parcels, {folder.name}", "parcels", parcels, table, "no parcel"))
        table_file = folder / f"{graph.name}.parquet"
        if table_file.is_file():
            # unlike the GIFTI file, the table tells masked nodes (NaN) from zero
            columns = read_table(table_file).columns
            names = sorted(name for name in columns if name.startswith("gradient_"))[:MAX_GRADIENTS]
            for name in names:
                title = f"{name.replace('_', ' ')}, {folder.name}"
                maps.append(ScalarMap(title, "gradients", np.asarray(columns[name], np.float64), ""))
    return maps


def _measures(run: Path, graph: CortexGraph) -> list[NodeMap]:
    """Return the thickness of cortical layers, as far as analyses have measured it, and measures from elsewhere."""
    maps: list[NodeMap] = []
    for name in (folder.name for folder in finished_folders(run, "analyze")):
        try:
            table = load_measures(run, name, graph)
        except MissingStageError:
            continue
        except CytomeshError as error:
            log(f"left out of the report: {error}")
            continue
        if table.metadata.get(ORIGIN) == ELSEWHERE:
            group, unit, shown = "measures", "", {column: column for column in table.columns}
        else:
            group, unit, shown = "layers", "mm", {f"thickness of layer {i}": f"layer_{i}_mm" for i in LAYERS}
        for title, column in shown.items():
            if column in table:
                maps.append(ScalarMap(f"{title}, {name}", group, np.asarray(table[column], np.float64), unit))
    return maps


def _morphometry(graph: CortexGraph) -> list[NodeMap]:
    def column(name: str) -> NDArray[Any]:
        return np.asarray(graph.nodes[name], np.float64)

    curvature = column("curvature_per_mm")
    bend = float(np.nanpercentile(np.abs(curvature), 95)) if np.isfinite(curvature).any() else 1.0
    maps: list[NodeMap] = [
        thickness_map(graph),
        ScalarMap("curvature", "morphometry", curvature, "1/mm", CIVIDIS, (-bend, bend)),
    ]
    is_linked = graph.is_linked
    if not graph.has_image.any():  # imported surfaces have no sections
        return maps
    role = np.zeros(graph.n_nodes, np.int32)
    for index, name in enumerate(("train", "val", "test", "none"), start=1):
        role[is_linked & (graph.section_role == name)] = index
    section = np.where(is_linked, graph.section, np.nan)
    oblique = np.where(is_linked, column("obliqueness_deg"), np.nan)
    return [
        *maps,
        ScalarMap("obliqueness", "links", oblique, "deg", VIRIDIS, (0.0, 90.0)),
        LabelMap("role of the linked section", "links", role, ROLE_TABLE, "not linked"),
        ScalarMap("linked section", "links", section, "index"),
    ]
