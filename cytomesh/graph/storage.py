"""Cortical graphs on disk: one folder per hemisphere, see the run directory's layout in the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError, MissingStageError, did_you_mean
from cytomesh.core.files import atomic_path, digest, write_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import IMPORT, command, reading
from cytomesh.core.run import product_folders
from cytomesh.core.tables import Table, read_table, write_table
from cytomesh.graph import convert
from cytomesh.graph.node_table import FACTS, LINK, NODE_UNITS, check_columns, check_facts, check_rows
from cytomesh.study.atlas import read_labels as read_label_table
from cytomesh.study.atlas import write_labels as write_label_table
from cytomesh.surface.formats import FREESURFER_SIDE, write_freesurfer, write_morphometry, write_ply, write_spec
from cytomesh.surface.gifti import SurfaceKind, read_surface, write_labels, write_scalars, write_surface
from cytomesh.surface.mesh import Mesh

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from nilearn.surface import SurfaceImage
    from torch_geometric.data import Data

MEASURES = {  # node columns that are written as files of their own: Workbench's name, FreeSurfer's name and sign
    "thickness_mm": ("thickness", "thickness", 1),
    "curvature_per_mm": ("curvature", "curv", -1),  # positive on crowns, as HCP's; FreeSurfer's is positive in sulci
    "sulcal_depth_mm": ("sulcal_depth", "sulc", 1),
    "area_mm2": ("area", "area", 1),
}


@dataclass(frozen=True)
class CortexGraph:
    """The cortex of one hemisphere as a graph: nodes are midsurface vertices, edges are mesh edges.

    Parameters
    ----------
    brain, hemisphere, brain_role : str
        Specimen, "L" or "R", and "train", "transfer" or "unseen".
    mesh : Mesh
        The midsurface.
    nodes : Table
        One row per node; the columns are listed in the documentation of the run directory.
    labels : LabelTable
        The areas that `annotation` and the columns of `pmap` refer to.

    Examples
    --------
    >>> graph = load_graphs("run")[0]
    >>> graph.name, graph.brain_role, graph.n_nodes == graph.mesh.n_vertices
    ('T01_hemi-L', 'train', True)
    >>> graph.nodes.units["thickness_mm"], len(graph.nodes["thickness_mm"]) == graph.n_nodes
    ('mm', True)
    >>> graph.edge_index.shape == (2, 2 * len(graph.mesh.edges))  # both directions of every mesh edge
    True
    >>> graph.to_dataframe().columns[:3].tolist()
    ['x_mm', 'y_mm', 'z_mm']
    """

    brain: str
    hemisphere: str
    brain_role: str
    mesh: Mesh
    nodes: Table
    labels: LabelTable

    def __post_init__(self) -> None:
        if len(self.nodes) != self.mesh.n_vertices:
            found = f"{len(self.nodes)} node rows for {self.mesh.n_vertices} mesh vertices"
            raise GraphError(self.name, found=found, expected="one row per vertex")
        self.labels.check(self.annotation, f"{self.name}: annotation")
        if self.pmap is not None and self.pmap.shape[1] != len(self.labels):
            found = f"{self.pmap.shape[1]} probability columns for {len(self.labels)} labels"
            raise GraphError(self.name, "pmap", found=found, expected="one column per label")

    @property
    def name(self) -> str:
        """Name of the graph and of its folder, `<brain>_hemi-<L|R>`."""
        return f"{self.brain}_hemi-{self.hemisphere}"

    def with_labels(self, labels: LabelTable, annotation: NDArray[np.int32] | None = None) -> CortexGraph:
        """Return the graph with another label table, without probability maps: they are of the areas of its own.

        Parameters
        ----------
        labels : LabelTable
        annotation : (n,) int32, optional
            Labels of the new table, in the place of the graph's.
        """
        columns = {name: values for name, values in self.nodes.columns.items() if name != "pmap"}
        changed = {} if annotation is None else {"annotation": annotation}
        return replace(self, labels=labels, nodes=replace(self.nodes, columns=columns | changed))

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return self.mesh.n_vertices

    @property
    def positions(self) -> NDArray[np.float64]:
        """Node positions in world space, (n, 3) mm."""
        return self.mesh.vertices

    @property
    def reference(self) -> NDArray[np.float64]:
        """Node positions in reference space, (n, 3) mm."""
        return self.nodes.stack(["ref_x_mm", "ref_y_mm", "ref_z_mm"])

    @property
    def mirrored_reference(self) -> NDArray[np.float64]:
        """`reference` with +x lateral in both hemispheres: what is learnt on one, the other can use."""
        return self.reference * np.array([-1.0 if self.hemisphere == "L" else 1.0, 1.0, 1.0])

    @property
    def annotation(self) -> NDArray[np.int32]:
        """Expert area of each node, (n,) int32, 0 where there is none."""
        return np.asarray(self.nodes["annotation"], np.int32)

    @property
    def is_linked(self) -> NDArray[np.bool_]:
        """Whether a node has an image link (an imported one: features), (n,) bool."""
        return np.asarray(self.nodes["is_linked"], bool)

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """Whether a node has a place in an image, (n,) bool; imported ones have none."""
        return (self.section >= 0) & np.isfinite(self.nodes["column_px"])

    @property
    def is_cortex(self) -> NDArray[np.bool_]:
        """Whether a node is cortex and not a face at which the tissue was cut, (n,) bool; others are never linked."""
        if "is_cortex" not in self.nodes:  # of a table without the column: every node was taken for cortex
            return np.ones(self.n_nodes, bool)
        return np.asarray(self.nodes["is_cortex"], bool)

    @property
    def section(self) -> NDArray[np.int32]:
        """Index of the linked section, (n,) int32, -1 where there is none."""
        return np.asarray(self.nodes["section"], np.int32)

    @property
    def section_role(self) -> NDArray[np.str_]:
        """Role of the linked section, (n,) str: train, val, test or none."""
        return np.asarray(self.nodes["section_role"], np.str_)

    @property
    def pmap(self) -> sp.csr_matrix | None:
        """Area probabilities, (n, len(labels)) CSR, or None if the study has no probability maps."""
        return self.nodes.columns.get("pmap")

    @cached_property
    def adjacency(self) -> sp.csr_matrix:
        """Mesh adjacency, (n, n) CSR of ones."""
        return self.mesh.adjacency()

    @property
    def edge_index(self) -> NDArray[np.int64]:
        """Both directions of every edge, (2, 2e) int64 (int32 breaks scatter in PyG)."""
        i, j = self.mesh.edges.T
        return np.stack([np.concatenate([i, j]), np.concatenate([j, i])])

    @cached_property
    def digest(self) -> str:
        """Identity of the mesh and its image links; features carry it, so that they never meet another graph."""
        links = [np.asarray(self.nodes[name]) for name in ("section", *LINK)]
        return digest(self.mesh.vertices.astype(np.float32), self.mesh.faces, *links)

    def to_pyg(self, features: NDArray[Any] | None = None) -> Data:
        """Return PyTorch Geometric's `Data`, see `cytomesh.graph.convert`."""
        return convert.to_pyg(self, features)

    def to_networkx(self) -> nx.Graph:
        """Return networkx's `Graph`, see `cytomesh.graph.convert`."""
        return convert.to_networkx(self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per node as pandas' `DataFrame`, see `cytomesh.graph.convert`."""
        return convert.to_dataframe(self)

    def to_surface_image(self, values: NDArray[Any]) -> SurfaceImage:
        """Return (n,) or (n, k) values of nodes as nilearn's `SurfaceImage`, see `cytomesh.graph.convert`."""
        return convert.to_surface_image(self, values)


def graph_folder(run: Path, name: str) -> Path:
    """Return the folder of a graph in a run directory."""
    return run / "graphs" / name


def save_graph(run: Path, graph: CortexGraph, surfaces: Mapping[SurfaceKind, Mesh], qc: Mapping[str, Any]) -> Path:
    """Write a graph to its folder in a run (see `write_graph`), in the place of an earlier one; returns the folder."""
    folder = graph_folder(run, graph.name)
    with atomic_path(folder) as temporary:
        write_graph(temporary, graph, surfaces, qc)
    return folder


def write_graph(
    folder: Path,
    graph: CortexGraph,
    surfaces: Mapping[SurfaceKind, Mesh],
    qc: Mapping[str, Any],
    formats: Sequence[str] = (),
) -> None:
    """Write a graph, its other surfaces ("pial", "white", "sphere"), measures and quality record.

    `formats` names those to write beside GIFTI: "freesurfer", "ply". `qc.json` is written last: a folder that has one
    is whole.
    """
    meshes = {**surfaces, "midthickness": graph.mesh}
    written: list[Path] = []
    for kind, mesh in meshes.items():
        if mesh.n_vertices != graph.n_nodes:
            raise GraphError(graph.name, kind, found=f"{mesh.n_vertices} vertices", expected=f"{graph.n_nodes}")
        write_surface(folder / f"{kind}.surf.gii", mesh, graph.hemisphere, kind)
        written.append(folder / f"{kind}.surf.gii")
    write_label_table(folder / "labels.tsv", graph.labels)
    write_labels(folder / "annotation.label.gii", graph.annotation, graph.labels, graph.hemisphere, "annotation")
    written.append(folder / "annotation.label.gii")
    # 0 is "no data" in these programs; NaN would break their palettes
    measures = {column: np.nan_to_num(graph.nodes[column]) for column in MEASURES if column in graph.nodes.columns}
    for column, values in measures.items():
        written.append(folder / f"{MEASURES[column][0]}.shape.gii")
        write_scalars(written[-1], {f"{graph.name} {column}": values}, graph.hemisphere)
    write_spec(folder / f"{graph.name}.spec", ((path, graph.hemisphere) for path in written))
    _write_formats(folder, graph.hemisphere, meshes, graph.nodes.columns, formats)
    facts = dict(zip(FACTS, (graph.brain, graph.hemisphere, graph.brain_role), strict=True))
    nodes = Table(graph.nodes.columns, NODE_UNITS, {**graph.nodes.metadata, **facts})
    write_table(folder / "nodes.parquet", nodes, "graph")
    write_json(folder / "qc.json", qc)


def _write_formats(
    folder: Path,
    hemisphere: str,
    meshes: Mapping[SurfaceKind, Mesh],
    columns: Mapping[str, NDArray[Any]],
    formats: Sequence[str],
) -> None:
    for kind, mesh in meshes.items():
        if "freesurfer" in formats:
            write_freesurfer(folder / f"{FREESURFER_SIDE[hemisphere]}.{kind}", mesh)
        if "ply" in formats:
            write_ply(folder / f"{kind}.ply", mesh)
    if "freesurfer" in formats:
        write_morphometries(folder, hemisphere, columns, meshes["midthickness"].n_faces)


def write_morphometries(folder: Path, hemisphere: str, columns: Mapping[str, NDArray[Any]], n_faces: int) -> list[Path]:
    """Write the `MEASURES` among node columns as FreeSurfer has them (`lh.curv`), 0 for NaN; returns the files."""
    written = []
    for column, (_, name, sign) in MEASURES.items():
        if column in columns:
            written.append(folder / f"{FREESURFER_SIDE[hemisphere]}.{name}")
            write_morphometry(written[-1], sign * np.nan_to_num(columns[column]), n_faces)
    return written


def load_graph(folder: Path) -> CortexGraph:
    """Read a graph folder.

    Raises
    ------
    MissingStageError
        If the folder holds no finished graph.
    FormatError
        If it is of a newer format than this program knows.
    GraphError
        If the node table was written by another program, or its rows are not the vertices of the mesh.
    """
    if not (folder / "qc.json").is_file():
        known = [item.parent.name for item in folder.parent.glob("[!.]*/qc.json")]
        hint = f"run '{command(folder.parents[1], 'graphs')}' first, with --resume if it was interrupted"
        hint = did_you_mean(folder.name, known, hint)
        raise MissingStageError(folder, found="no finished graph (no qc.json)", hint=hint)
    path = folder / "nodes.parquet"
    nodes = read_table(path, "graph")
    mesh = read_surface(folder / "midthickness.surf.gii")
    labels = read_label_table(folder / "labels.tsv")
    with reading(path, GraphError, found="a damaged node table"):
        check_facts(path, nodes)
        check_columns(path, nodes)
        brain, hemisphere, brain_role = (nodes.metadata[fact] for fact in FACTS)
        graph = CortexGraph(brain, hemisphere, brain_role, mesh, nodes, labels)
        check_rows(path, nodes, graph.reference, graph.positions)
        return graph


def load_graphs(run: str | Path) -> list[CortexGraph]:
    """Read every finished graph of a run, sorted by name.

    Examples
    --------
    >>> [graph.name for graph in load_graphs("run")]
    ['T01_hemi-L', 'T02_hemi-L']
    """
    run = Path(run)
    if folders := [folder for folder in product_folders(run, "graphs") if (folder / "qc.json").is_file()]:
        return [load_graph(folder) for folder in folders]
    hint = f"run '{command(run, 'graphs')}' first (or 'cytomesh {IMPORT}', for surfaces of your own)"
    raise MissingStageError(run / "graphs", found="no finished graph", hint=hint)


def load_surface(run: Path, name: str, kind: SurfaceKind) -> Mesh:
    """Read one surface of a graph."""
    return read_surface(graph_folder(run, name) / f"{kind}.surf.gii")
