"""The mean midsurface of registered brains: where geodesic distances between patches of any brain are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from cytomesh.graph.storage import CortexGraph
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.template import join
from cytomesh.register.carry import graph_place
from cytomesh.register.spherical import SphereLocator, icosphere
from cytomesh.surface.mesh import Mesh, unit

SUBDIVISIONS = 6
"""Of the icosphere that the mean is sampled on: 40,962 vertices, 1.6 mm apart on a human hemisphere."""


def place_by_registration(
    pool: PatchPool, run: Path, registration: str, graphs: Sequence[CortexGraph]
) -> tuple[PatchPool, Mesh]:
    """Find for every patch the vertex of the mean midsurface that its place on the registered sphere stands for.

    What corresponds by registration has distance 0, however far brains are apart in reference space, and the banks of a
    sulcus are as far apart as the way around its fundus. The mean of several brains has smoother folds than each: it is
    enlarged to the mean of their areas.

    Parameters
    ----------
    registration : str
        Name of what `cytomesh register` made.
    graphs : sequence of CortexGraph
        Those that the pool was built of, in the same order.

    Returns
    -------
    pool : PatchPool
        With `vertex`.
    mesh : Mesh
        The mean midsurface (mm), twice if there are right hemispheres that are not mirrored: there are no distances
        between sides then.

    Raises
    ------
    MissingStageError, SurfaceError
        If there is no such registration, or its spheres are those of other meshes.
    """
    grid = icosphere(SUBDIVISIONS)
    tree = cKDTree(grid.vertices)
    mean, areas, nearest = np.zeros_like(grid.vertices), [], []
    for graph in graphs:
        sphere = graph_place(run, registration, graph).on_common
        places = unit(sphere.vertices)
        mean += SphereLocator(sphere).interpolate(grid.vertices, graph.mirrored_reference) / len(graphs)
        areas.append(Mesh(graph.reference, graph.mesh.faces).vertex_areas.sum())
        nearest.append(tree.query(places[graph.is_linked])[1])
    surface = Mesh(mean, grid.faces)
    surface = Mesh(mean * np.sqrt(np.mean(areas) / surface.vertex_areas.sum()), grid.faces)
    vertex = np.concatenate(nearest) + grid.n_vertices * pool.is_right
    return replace(pool, vertex=vertex), join([surface] * (1 + int(pool.is_right.any())))
