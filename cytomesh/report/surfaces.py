"""Turnable surfaces: meshes and node maps packed for the viewer in the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.extras import optional
from cytomesh.core.labels import LabelTable
from cytomesh.graph.neighbourhoods import hop_mean
from cytomesh.graph.storage import CortexGraph, graph_folder
from cytomesh.page.charts import chart_scripts
from cytomesh.page.colours import css_colour
from cytomesh.page.document import asset
from cytomesh.page.html import Html, Part, embed_json, join, tag
from cytomesh.report.maps import (
    ANNOTATION,
    PALE,
    THICKNESS,
    LabelMap,
    NodeMap,
    ScalarMap,
    first_title,
    node_maps,
    prediction_title,
    with_values,
)
from cytomesh.report.results import read_models
from cytomesh.surface.gifti import read_surface
from cytomesh.surface.mesh import Mesh, mean_curvature

MAX_NODES = 20_000
NEARLY_MOST = 0.8
FOLD_HOPS = 4
CELL_EDGES = 1.5
"""Width of the cells by which a view is chosen, in mesh edges: wide enough for a surface to hide what is behind it."""
SURFACE_TITLES = {"midthickness": "midsurface", "pial": "pial", "white": "white", "inflated": "inflated (display only)"}
VIEWS = ("lateral", "medial", "dorsal", "ventral", "anterior", "posterior")


def surface_part(run: Path, graphs: Sequence[CortexGraph]) -> Part:
    """Build the surface viewer with every graph and map of the run."""
    maps = with_values({graph.name: node_maps(run, graph) for graph in graphs})
    second = _second_map(run, maps[graphs[0].name])
    titles = (ANNOTATION, THICKNESS, *(item.title for item in maps[graphs[0].name]))
    others = [title for title in titles if title != second]
    has_links = any(graph.has_image.any() for graph in graphs)
    predictions = "Predictions cover nodes without an image link, too: see the map 'role of the linked section'."
    shown = (first_title(maps, others), second)
    return Part("surfaces", "Surfaces", viewer(run, graphs, maps, shown, predictions if has_links else ""))


@dataclass(frozen=True, slots=True)
class Mark:
    """A node that is marked on the surface, and the lines shown when the pointer is on it."""

    node: int
    lines: tuple[str, ...]


def viewer(
    run: Path,
    graphs: Sequence[CortexGraph],
    maps: Mapping[str, Sequence[NodeMap]],
    shown: tuple[str, str],
    note: str,
    marks: Mapping[str, Sequence[Mark]] | None = None,
) -> Html:
    """Return two linked panels with turnable surfaces.

    Parameters
    ----------
    maps : mapping from graph name to sequence of NodeMap
        What can be chosen.
    shown : (str, str)
        Titles of the maps of the two panels at first.
    note : str
        A sentence added to the introduction.
    marks : mapping from graph name to sequence of Mark, optional
    """
    limits = _shared_limits([item for items in maps.values() for item in items])
    tables: list[dict[str, Any]] = []
    packed = [
        _packed_graph(run, graph, maps[graph.name], (marks or {}).get(graph.name, ()), limits, tables)
        for graph in graphs
    ]
    data = {"graphs": packed, "tables": tables, "surfaces": SURFACE_TITLES}
    reduced = [graph.name for graph in graphs if graph.n_nodes > MAX_NODES]
    fewer = f" Shown with {MAX_NODES:,} of all nodes: {', '.join(reduced)}." if reduced else ""
    intro = tag(
        "p",
        "Drag to turn, scroll to zoom (or arrow keys, plus and minus); both panels turn together. Every node colours "
        "its own cell of the mesh, so area borders run halfway between nodes and nothing is interpolated across them. "
        "Choose an area in a legend to highlight it (colour alone does not tell many areas apart). Areas are darker in "
        "sulci. "
        f"{note} Coordinates: world space, mm, RAS.{fewer}",
    )
    bar = tag(
        "div",
        tag("label", "Hemisphere ", tag("select", class_="graph")),
        tag("label", "Surface ", tag("select", class_="surface")),
        tag(
            "span",
            *(tag("button", view, type="button", data_view=view) for view in VIEWS),
            class_="views",
            role="group",
            aria_label="view",
        ),
        tag("label", tag("input", type="checkbox", class_="borders", checked=True), " area borders"),
        tag("label", tag("input", type="checkbox", class_="folds", checked=True), " folds"),
        class_="bar",
    )
    panels = tag("div", *(_panel(title) for title in shown), class_="panels")
    return join([intro, tag("div", bar, panels, embed_json(data), id="viewer")])


def viewer_scripts() -> list[str]:
    """Return what a page with the viewer, with charts and with sortable tables needs."""
    return [*chart_scripts(), asset("cytomesh.report", "viewer.js")]


def _panel(title: str) -> Html:
    return tag(
        "div",
        tag("label", "Map ", tag("select", class_="map")),
        tag(
            "div", class_="scene", tabindex=0, role="application", aria_label=f"{title} on a surface that can be turned"
        ),
        tag("div", class_="legend"),
        class_="view-panel",
        data_map=title,
    )


def _second_map(run: Path, maps: Sequence[NodeMap]) -> str:
    """Return what is first shown beside the annotation: the best prediction, else any, else parcels or thickness."""
    predictions = [item.title for item in maps if item.group == "prediction"]
    models = [model for model in read_models(run) if prediction_title(model.name) in predictions]
    if models:
        return prediction_title(max(models, key=lambda model: model.mean_macro_f1).name)
    others = [item.title for item in maps if item.group in ("parcels", "morphometry")]
    return next(iter([*predictions, *others]), maps[0].title)


def _packed_graph(
    run: Path,
    graph: CortexGraph,
    maps: Sequence[NodeMap],
    marks: Sequence[Mark],
    limits: dict[str, tuple[float, float]],
    tables: list[dict[str, Any]],
) -> dict[str, Any]:
    keep, faces = reduced_mesh(graph.mesh, MAX_NODES)
    surfaces = {"midthickness": graph.mesh.vertices}
    for kind in ("pial", "white"):
        path = graph_folder(run, graph.name) / f"{kind}.surf.gii"
        if path.is_file():
            surfaces[kind] = read_surface(path).vertices
    points = {kind: vertices[keep] for kind, vertices in surfaces.items()}
    points["inflated"] = inflated(points["midthickness"], faces)
    side = "left" if graph.hemisphere == "L" else "right"
    return {
        "name": graph.name,
        "title": f"{graph.brain}, {side} hemisphere ({graph.brain_role} brain)",
        "hemisphere": graph.hemisphere,
        "view": opening_view(graph),
        "faces": pack(faces.astype(np.uint16 if len(keep) <= 65535 else np.uint32)),
        "surfaces": {kind: _packed_points(vertices) for kind, vertices in points.items()},
        "folds": pack(folds(graph)[keep]),
        "nodes": pack(keep.astype(np.uint32)) if len(keep) < graph.n_nodes else None,
        "maps": [_packed_map(item, keep, limits, tables) for item in maps],
        "marks": _packed_marks(graph, keep, marks),
    }


def opening_view(graph: CortexGraph) -> str:
    """Return the view in which the surface is first seen: lateral, unless others show clearly more cortex of a block.

    Cortex is seen in a cell of a grid across the line of sight where the node nearest to the eye is cortex.
    """
    if graph.is_cortex.all() or not graph.is_cortex.any():
        return VIEWS[0]
    edges = np.linalg.norm(np.diff(graph.positions[graph.mesh.edges], axis=1), axis=2)
    cells = np.floor(graph.positions / (CELL_EDGES * np.median(edges))).astype(np.int64)
    out = -1 if graph.hemisphere == "L" else 1
    seen = {}
    for view, (axis, sign) in zip(VIEWS, ((0, out), (0, -out), (2, 1), (2, -1), (1, 1), (1, -1)), strict=True):
        nearest_first = np.argsort(-sign * graph.positions[:, axis])
        _, front = np.unique(np.delete(cells, axis, axis=1)[nearest_first], axis=0, return_index=True)
        seen[view] = np.count_nonzero(graph.is_cortex[nearest_first[front]])
    return next(view for view in VIEWS if seen[view] >= NEARLY_MOST * max(seen.values()))


def _packed_marks(graph: CortexGraph, keep: NDArray[np.int64], marks: Sequence[Mark]) -> list[dict[str, Any]]:
    if not marks:
        return []
    places = cKDTree(graph.positions[keep]).query(graph.positions[[mark.node for mark in marks]])[1]
    return [{"row": int(row), "lines": list(mark.lines)} for row, mark in zip(places, marks, strict=True)]


def _packed_points(vertices: NDArray[np.float64]) -> dict[str, Any]:
    # 16 bits over the bounding box: about 3 micrometres on a human hemisphere
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    step = np.maximum(high - low, 1e-9) / 65535
    steps = np.round((vertices - low) / step).astype(np.uint16)
    return {"low": low.round(4).tolist(), "step": step.tolist(), "points": pack(steps)}


def _packed_map(
    item: NodeMap, keep: NDArray[np.int64], limits: dict[str, tuple[float, float]], tables: list[dict[str, Any]]
) -> dict[str, Any]:
    facts: dict[str, Any] = {"title": item.title, "group": item.group}
    if isinstance(item, LabelMap):
        values = item.table.columns(item.values[keep]) + 1
        if item.is_pale is not None:
            values = np.where(item.is_pale[keep], values + len(item.table) + 1, values)
        values = values.astype(np.uint16)
        return {
            **facts,
            "kind": "labels",
            "none": item.none,
            "pale": PALE,
            "table": _table_number(item.table, tables),
            "values": pack(values),
            "details": [list(lines) for lines in item.details],
        }
    low, high = limits[item.title]
    scaled = np.clip((item.values[keep] - low) / (high - low), 0, 1) * 65534
    values = np.where(np.isfinite(scaled), scaled, 65535).round().astype(np.uint16)
    return {
        **facts,
        "kind": "scalars",
        "unit": item.unit,
        "low": low,
        "high": high,
        "colours": list(item.colours),
        "values": pack(values),
    }


def _table_number(table: LabelTable, tables: list[dict[str, Any]]) -> int:
    entry = {"names": list(table.names), "colours": [css_colour(rgba) for rgba in table.colours]}
    if entry not in tables:
        tables.append(entry)
    return tables.index(entry)


def _shared_limits(maps: Sequence[NodeMap]) -> dict[str, tuple[float, float]]:
    limits: dict[str, tuple[float, float]] = {}
    for title in {item.title for item in maps if isinstance(item, ScalarMap)}:
        same = [item for item in maps if isinstance(item, ScalarMap) and item.title == title]
        fixed = [item.limits for item in same if item.limits is not None]
        values = np.concatenate([item.values[np.isfinite(item.values)] for item in same])
        if fixed:
            low, high = min(pair[0] for pair in fixed), max(pair[1] for pair in fixed)
        elif values.size:
            low, high = (float(value) for value in np.percentile(values, (2, 98)))
        else:
            low, high = 0.0, 1.0
        limits[title] = (low, high if high > low else low + 1.0)
    return limits


def reduced_mesh(mesh: Mesh, n_nodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reduce a mesh for display to about `n_nodes` of its own vertices.

    Returns
    -------
    keep : (k,) int64
        Vertices that are shown; all of them if the mesh is small enough.
    faces : (m, 3) int64
        Triangles between them (rows of `keep`).
    """
    if mesh.n_vertices <= n_nodes:
        return np.arange(mesh.n_vertices), mesh.faces
    pv = optional("pyvista", "cytomesh[report]")
    solid = pv.PolyData.from_regular_faces(mesh.vertices, mesh.faces)
    reduced = solid.decimate(1 - n_nodes / mesh.n_vertices)
    nearest = cKDTree(mesh.vertices).query(np.asarray(reduced.points))[1]
    keep, place = np.unique(nearest, return_inverse=True)
    faces = place[reduced.regular_faces]
    is_whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return keep.astype(np.int64), faces[is_whole].astype(np.int64)


def inflated(vertices: NDArray[np.float64], faces: NDArray[np.int64], rounds: int = 120) -> NDArray[np.float64]:
    """Smooth a surface by neighbour averaging until sulci open, keeping its centre and spread; (n, 3) mm."""
    n = len(vertices)
    i, j = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).T
    links = sp.csr_matrix((np.ones(2 * len(i)), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    links.data[:] = 1.0
    degree = np.maximum(np.asarray(links.sum(axis=1)), 1.0)
    smooth = vertices
    for _ in range(rounds):
        smooth = 0.3 * smooth + 0.7 * (links @ smooth) / degree
    centre, spread = vertices.mean(axis=0), vertices.std(axis=0)
    unit = (smooth - smooth.mean(axis=0)) / np.maximum(smooth.std(axis=0), 1e-9)
    return np.asarray(unit * spread + centre, np.float64)


def folds(graph: CortexGraph) -> NDArray[np.uint8]:
    """Return how far each node bulges, (n,): 0 at the bottom of a sulcus, 128 where it is flat, 255 on a crown."""
    known = graph.nodes["curvature_per_mm"] if "curvature_per_mm" in graph.nodes else mean_curvature(graph.mesh)
    curvature = np.nan_to_num(np.asarray(known, np.float64))
    bulge = hop_mean(graph.adjacency, curvature, FOLD_HOPS)
    high = float(np.percentile(np.abs(bulge), 80)) or 1.0
    return np.clip(np.round(128 + 127 * bulge / high), 0, 255).astype(np.uint8)


def pack(array: NDArray[Any]) -> dict[str, str]:
    """Return a little-endian array as base64, with the name of the typed array that reads it."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"type": f"{array.dtype.name.capitalize()}Array", "data": base64.b64encode(little.tobytes()).decode()}
