"""Cortical graphs in other libraries' words: PyTorch Geometric, networkx, pandas, nilearn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import GraphError
from cytomesh.core.extras import optional

if TYPE_CHECKING:
    import networkx as nx
    import pandas as pd
    from nilearn.surface import SurfaceImage
    from torch_geometric.data import Data

    from cytomesh.graph.storage import CortexGraph


def to_pyg(graph: CortexGraph, features: NDArray[Any] | None = None) -> Data:
    """Return a graph as PyTorch Geometric's `Data`.

    Parameters
    ----------
    graph : CortexGraph
    features : (n, d) array, optional
        Become `x`, float32.

    Returns
    -------
    Data
        `edge_index` (2, 2e) int64, both directions of every edge; `pos` (n, 3) float32, mm; `y` (n,) int64, the
        annotation, 0 for none; `is_linked` (n,) bool; `face` (3, m) int64.

    Raises
    ------
    GraphError
        If there is not one row of features a node.
    """
    import torch
    from torch_geometric.data import Data

    data = Data(
        edge_index=torch.from_numpy(graph.edge_index),
        pos=torch.from_numpy(graph.positions.astype(np.float32)),
        y=torch.from_numpy(graph.annotation.astype(np.int64)),
        is_linked=torch.from_numpy(graph.is_linked.copy()),
        face=torch.from_numpy(graph.mesh.faces.T.copy()),
    )
    if features is not None:
        _one_row_a_node(graph, features)
        data.x = torch.from_numpy(np.array(features, np.float32))
    return data


def to_networkx(graph: CortexGraph) -> nx.Graph:
    """Return a graph of networkx: nodes 0..n-1 with their columns, edges with `length_mm`.

    networkx takes about a kilobyte an edge: meant for small graphs and parts of large ones.
    """
    import networkx as nx

    result = nx.Graph(brain=graph.brain, hemisphere=graph.hemisphere)
    columns = {name: np.asarray(values).tolist() for name, values in graph.nodes.columns.items() if name != "pmap"}
    rows = zip(*columns.values(), strict=True)
    result.add_nodes_from((i, dict(zip(columns, row, strict=True))) for i, row in enumerate(rows))
    i, j = graph.mesh.edges.T
    lengths = np.linalg.norm(graph.positions[i] - graph.positions[j], axis=1)
    result.add_weighted_edges_from(zip(i.tolist(), j.tolist(), lengths.tolist(), strict=True), weight="length_mm")
    return result


def to_dataframe(graph: CortexGraph) -> pd.DataFrame:
    """Return one row per node; `area` is the name of the annotation, area probabilities become columns `p <area>`."""
    pandas = optional("pandas", "pandas")
    columns = {name: np.asarray(values) for name, values in graph.nodes.columns.items() if name != "pmap"}
    names = np.array(["", *graph.labels.names], object)
    columns["area"] = names[graph.labels.columns(graph.annotation) + 1]
    frame = pandas.DataFrame(columns)
    if graph.pmap is not None:
        maps = pandas.DataFrame.sparse.from_spmatrix(graph.pmap, columns=[f"p {name}" for name in graph.labels.names])
        frame = pandas.concat([frame, maps], axis=1)
    frame.attrs = {"brain": graph.brain, "hemisphere": graph.hemisphere, "units": dict(graph.nodes.units)}
    return frame


def to_surface_image(graph: CortexGraph, values: NDArray[Any]) -> SurfaceImage:
    """Return (n,) or (n, k) values of nodes as nilearn's `SurfaceImage`, on the midsurface of this hemisphere.

    Raises
    ------
    GraphError
        If there is not one row of values a node.
    PackageError
        If nilearn is not installed.
    """
    nilearn = optional("nilearn.surface", "nilearn")
    _one_row_a_node(graph, values)
    side = {"L": "left", "R": "right"}[graph.hemisphere]
    mesh = nilearn.InMemoryMesh(coordinates=graph.positions.astype(np.float32), faces=graph.mesh.faces)
    return nilearn.SurfaceImage(nilearn.PolyMesh(**{side: mesh}), {side: np.asarray(values)})


def _one_row_a_node(graph: CortexGraph, values: NDArray[Any]) -> None:
    if len(values) != graph.n_nodes:
        raise GraphError(graph.name, found=f"{len(values)} rows", expected=f"{graph.n_nodes}, one per node")
