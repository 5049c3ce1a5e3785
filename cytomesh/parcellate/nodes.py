"""Parcels of a graph's nodes, without a run directory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.config import validate
from cytomesh.core.errors import ConfigError
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.features import select_nodes
from cytomesh.parcellate.group import from_the_front, join_parts, parcellate_joint


def parcellate_nodes(
    graph: CortexGraph, features: NDArray[Any], n_parcels: int, *, method: str = "diffusion", **settings: Any
) -> NDArray[np.int32]:
    """Divide the cortex of a graph into parcels by features of its nodes, as `cytomesh parcellate` does.

    Parameters
    ----------
    graph : CortexGraph
        Of n nodes.
    features : (n, d) float
    n_parcels : int
    method : str
        See `ParcellateConfig.method`.
    **settings
        Further settings of `ParcellateConfig`, such as `seed=1` or `preparation={"hops": 2}`.

    Returns
    -------
    (n,) int32
        Parcels from 1, counted from the front of the brain to its back; 0 where there is none: medial wall, islands.

    Raises
    ------
    ConfigError, FeatureError, GraphError
        If settings or features cannot be used.
    QualityError
        If a parcel is not connected or an eigenvector is wrong.

    Examples
    --------
    >>> import numpy as np, trimesh
    >>> from cytomesh import Mesh, mesh_graph, parcellate_nodes
    >>> sphere = trimesh.creation.icosphere(subdivisions=3, radius=50.0)
    >>> graph = mesh_graph(Mesh(sphere.vertices, sphere.faces))
    >>> octant = np.sign(sphere.vertices) + np.random.default_rng(0).normal(size=(642, 3))
    >>> parcels = parcellate_nodes(graph, octant, n_parcels=8, method="ward")
    >>> np.unique(parcels).tolist()
    [1, 2, 3, 4, 5, 6, 7, 8]
    """
    given = {**settings, "method": method, "n_parcels": n_parcels}
    config = validate(ParcellateConfig, given, "parcellate_nodes", ConfigError)
    part = select_nodes(graph, np.asarray(features), config.preparation, config.min_nodes, graph.name)
    joint = join_parts([graph], [part], config)
    k = config.n_parcels or n_parcels  # as validated: 8.0 and "8" are 8
    (labels,) = parcellate_joint(joint, k, config, graph.name).labels
    parcels = np.zeros(graph.n_nodes, np.int32)
    parcels[part.nodes] = from_the_front(labels, joint.features.positions)
    return parcels
