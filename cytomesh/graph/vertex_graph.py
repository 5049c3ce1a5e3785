"""Graphs of surfaces and values of vertices that were made elsewhere: nodes without a place in an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError
from cytomesh.core.labels import LabelTable, distinct_colours, whole_labels
from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph
from cytomesh.graph.vertex_columns import FREE_COLUMNS
from cytomesh.study.manifest import BrainRole, Hemisphere
from cytomesh.surface.depth import sulcal_depth
from cytomesh.surface.gifti import SurfaceKind
from cytomesh.surface.mesh import Mesh, mean_curvature


@dataclass(frozen=True)
class VertexData:
    """All that is known of a hemisphere's vertices.

    Parameters
    ----------
    surfaces : dict of str to Mesh
        "midthickness" and, where there are, "pial", "white", "sphere": the same triangles.
    features : (n, d) float32
        NaN where there is none.
    labels : (n,) int32
        0 for none, else of `table`.
    table : LabelTable
    is_cortex : (n,) bool
    columns : dict of str to (n,) array
        Further node columns; "section" and "section_role" as graphs have them.
    names : tuple of str
        What the files call the features, d of them; empty where they have no names.
    """

    surfaces: Mapping[SurfaceKind, Mesh]
    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    table: LabelTable
    is_cortex: NDArray[np.bool_]
    columns: Mapping[str, NDArray[Any]]
    names: tuple[str, ...] = ()


def vertex_graph(
    data: VertexData, table: LabelTable, brain: str, hemisphere: Hemisphere, role: BrainRole, source: str
) -> CortexGraph:
    """Return the graph of a hemisphere: its nodes have no image, and count as linked where they have features.

    Raises
    ------
    GraphError
        If a further column has the name of one that every graph has.
    """
    mesh = data.surfaces["midthickness"]
    n, unknown = mesh.n_vertices, np.full(mesh.n_vertices, np.nan)
    has_features = np.isfinite(data.features).all(axis=1) & data.is_cortex
    numbers = np.array([0, *(table.index(name) for name in data.table.names)], np.int32)
    columns: dict[str, Any] = {
        **dict(zip(("x_mm", "y_mm", "z_mm"), mesh.vertices.T, strict=True)),
        **dict(zip(("ref_x_mm", "ref_y_mm", "ref_z_mm"), mesh.vertices.T, strict=True)),
        "section": np.full(n, -1, np.int32),
        **dict.fromkeys(("column_px", "row_px", "angle_deg", "obliqueness_deg", "distance_mm"), unknown),
        "is_cortex": data.is_cortex,
        "is_linked": has_features,
        "link_reason": np.where(data.is_cortex, np.where(has_features, "", "no features"), "not cortex"),
        "section_role": np.full(n, "none"),
        "annotation": np.where(data.is_cortex, numbers[data.table.columns(data.labels) + 1], 0).astype(np.int32),
        "curvature_per_mm": mean_curvature(mesh),
        "area_mm2": mesh.vertex_areas,
    }
    if {"pial", "white"} <= data.surfaces.keys():
        apart = data.surfaces["pial"].vertices - data.surfaces["white"].vertices
        columns["thickness_mm"] = np.linalg.norm(apart, axis=1)
    if "pial" in data.surfaces:
        columns["sulcal_depth_mm"] = sulcal_depth(data.surfaces["pial"])
    taken = sorted(set(data.columns) & columns.keys() - set(FREE_COLUMNS))
    if taken:
        hint = f"give them other names; these are free: {', '.join(FREE_COLUMNS)}"
        raise GraphError(
            f"{brain}_hemi-{hemisphere}", "columns", found=f"names that every graph has: {', '.join(taken)}", hint=hint
        )
    nodes = Table({**columns, **data.columns}, metadata={"study": source})
    return CortexGraph(brain, hemisphere, role, mesh, nodes, table)


def mesh_graph(
    mesh: Mesh,
    *,
    labels: NDArray[np.int32] | None = None,
    table: LabelTable | None = None,
    is_cortex: NDArray[np.bool_] | None = None,
    brain: str = "brain",
    hemisphere: Hemisphere = "L",
    role: BrainRole = "train",
) -> CortexGraph:
    """Return the graph of a midsurface, without a run directory.

    Parameters
    ----------
    mesh : Mesh
        n vertices become n nodes.
    labels : (n,) int32, optional
        Areas, 0 for none.
    table : LabelTable, optional
        Their names; "area 3" and so on unless given.
    is_cortex : (n,) bool, optional
        False at the medial wall; nodes there take no part. By default all are cortex.
    brain, hemisphere, role : str
        See `CortexGraph`.

    Raises
    ------
    GraphError, AtlasError
        If labels, their table, the mask or a word do not fit.

    Examples
    --------
    >>> import numpy as np, trimesh
    >>> from cytomesh import Mesh, mesh_graph
    >>> sphere = trimesh.creation.icosphere(subdivisions=2, radius=50.0)
    >>> graph = mesh_graph(Mesh(sphere.vertices, sphere.faces), labels=np.where(sphere.vertices[:, 2] > 0, 1, 2))
    >>> graph.n_nodes, graph.labels.names
    (162, ('area 1', 'area 2'))
    """
    n = mesh.n_vertices
    areas = np.zeros(n, np.int32) if labels is None else whole_labels(labels)
    if hemisphere not in ("L", "R"):
        raise GraphError(brain, "hemisphere", found=repr(hemisphere), expected="'L' or 'R'")
    if table is None:
        known = np.unique(areas[areas > 0]).tolist()
        table = LabelTable(tuple(known), tuple(f"area {label}" for label in known), distinct_colours(len(known)))
    if role not in get_args(BrainRole):
        raise GraphError(brain, "role", found=repr(role), expected=", ".join(get_args(BrainRole)))
    cortex = np.ones(n, bool) if is_cortex is None else np.asarray(is_cortex)
    if cortex.dtype != bool:  # NaN and -1, as maps have at the medial wall, would count as cortex
        hint = "give a mask, such as thickness > 0"
        raise GraphError(brain, "is_cortex", found=str(cortex.dtype), expected="bool", hint=hint)
    for name, values in (("labels", areas), ("is_cortex", cortex)):
        if values.shape != (n,):
            raise GraphError(brain, name, found=f"shape {values.shape}", expected=f"({n},), one for each vertex")
    data = VertexData({"midthickness": mesh}, np.zeros((n, 1), np.float32), areas, table, cortex, {})
    return vertex_graph(data, table, brain, hemisphere, role, "")
