"""Several hemispheres and brains in one graph, so that one embedding gives corresponding parcels in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cytomesh.core.errors import GraphError
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import JointConfig
from cytomesh.parcellate.connect import join_fragments, pieces
from cytomesh.parcellate.features import NodeFeatures, stack
from cytomesh.register.carry import common_places

# Components with at least this share of a graph's nodes are hemispheres rather than islands.
HEMISPHERE_SHARE = 0.25
SIDE_SHARE = 0.9
BLOCK = 16_384
OnSphere = Mapping[str, NDArray[np.float32]]
"""From the name of a graph to where its nodes lie on the common sphere of a registration: (n, 3) unit vectors."""


@dataclass(frozen=True, slots=True)
class JointFeatures:
    """Nodes of several graphs as one.

    Parameters
    ----------
    features : NodeFeatures
        All nodes, those of one graph after those of another; its adjacency holds mesh edges and edges between graphs.
    parts : tuple of NodeFeatures
        Each graph alone, with the same coordinates.
    """

    features: NodeFeatures
    parts: tuple[NodeFeatures, ...]

    def split(self, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the labels of each graph."""
        return np.split(labels, np.cumsum([len(part.nodes) for part in self.parts])[:-1])


def group_graphs(graphs: Sequence[CortexGraph], settings: JointConfig) -> list[list[CortexGraph]]:
    """Return the graphs that are parcellated together, in the order of the graphs."""
    groups: dict[tuple[str, str], list[CortexGraph]] = {}
    for graph in graphs:
        brain = graph.brain if settings.brains == "separate" else ""
        hemisphere = graph.hemisphere if settings.hemispheres == "separate" else ""
        groups.setdefault((brain, hemisphere), []).append(graph)
    return list(groups.values())


def refuse_two_hemispheres(graph: CortexGraph) -> None:
    """Raise GraphError if a graph holds a left and a right hemisphere.

    Both would share a standardisation and a number of parcels unasked, and the spin null has one sphere.
    """
    _, piece = connected_components(graph.adjacency, directed=False)
    sizes = np.bincount(piece)
    large = np.flatnonzero(sizes >= HEMISPHERE_SHARE * graph.n_nodes)
    x = graph.reference[:, 0]
    left = [float(np.mean(x[piece == component] < 0)) for component in large]
    if len(large) > 1 and max(left) >= SIDE_SHARE and min(left) <= 1 - SIDE_SHARE:
        found = f"{len(large)} large pieces on both sides of x = 0"
        hint = "write one graph a hemisphere; parcellate them together with joint.hemispheres: mirrored"
        raise GraphError(graph.name, "mesh", found=found, expected="one hemisphere", hint=hint)


def on_sphere(run: Path, settings: JointConfig, graphs: Sequence[CortexGraph]) -> OnSphere:
    """Return where nodes lie on the common sphere of the registration; nothing without one."""
    if not settings.registration:
        return {}
    places = common_places(run, settings.registration, graphs)
    each = np.split(places, np.cumsum([graph.n_nodes for graph in graphs])[:-1])
    return {graph.name: own for graph, own in zip(graphs, each, strict=True)}


def registered_places(graphs: Sequence[CortexGraph], found: OnSphere) -> list[NDArray[np.float64]]:
    """Return where the nodes of some graphs lie on the common sphere, (n, 3) each, mm.

    The sphere has the mean area of the hemispheres, so that distances on it are about those along the cortex.
    """
    area = float(np.mean([graph.mesh.vertex_areas.sum() for graph in graphs]))
    return [np.sqrt(area / (4.0 * np.pi)) * found[graph.name].astype(np.float64) for graph in graphs]


def join_graphs(graphs: Sequence[CortexGraph], parts: Sequence[NodeFeatures], settings: JointConfig) -> JointFeatures:
    """Add edges between graphs to the block of their meshes.

    Every node is joined with those most similar to it in feature space among the nearest nodes of each other graph, in
    reference space or on the registered sphere, the right hemisphere mirrored onto the left. Hemispheres of different
    sides get such edges only with `hemispheres: mirrored`.

    Parameters
    ----------
    parts : sequence of NodeFeatures
        Of each graph, in the same order, with coordinates of one whitening.
    """
    joint = stack(parts)
    mirror = np.array([-1.0, 1.0, 1.0])
    starts = np.cumsum([0, *(len(part.nodes) for part in parts)])
    places = [
        graph.reference[part.nodes] * (mirror if graph.hemisphere == "R" else 1.0)
        if part.places is None
        else part.places
        for graph, part in zip(graphs, parts, strict=True)
    ]
    ends: list[NDArray[np.int64]] = []
    for a, graph in enumerate(graphs):
        for b, other in enumerate(graphs):
            if a == b or (graph.hemisphere != other.hemisphere and settings.hemispheres != "mirrored"):
                continue
            pairs = similar_nearby(places[a], parts[a].values, places[b], parts[b].values, settings)
            ends.append(pairs + np.array([starts[a], starts[b]]))
    if ends:
        i, j = np.concatenate(ends).T
        between = sp.csr_matrix((np.ones(len(i)), (i, j)), shape=joint.adjacency.shape)
        linked = joint.adjacency + between + between.T
        linked.data[:] = 1.0
        joint = replace(joint, adjacency=sp.csr_matrix(linked))
    return JointFeatures(joint, tuple(parts))


def similar_nearby(
    place: NDArray[np.float64],
    values: NDArray[np.float64],
    other_place: NDArray[np.float64],
    other_values: NDArray[np.float64],
    settings: JointConfig,
) -> NDArray[np.int64]:
    """Return (e, 2) pairs (node, node of the other graph): near in space, most similar in features first.

    A node without another within `settings.radius_mm` gets no pair.
    """
    count = min(settings.candidates, len(other_place))
    tree = cKDTree(other_place)
    pairs = []
    for first in range(0, len(place), BLOCK):  # (block, candidates, coordinates) at a time
        rows = np.arange(first, min(first + BLOCK, len(place)))
        distance, candidate = tree.query(
            place[rows], k=np.arange(1, count + 1), distance_upper_bound=settings.radius_mm
        )
        is_near = np.isfinite(distance)
        candidate = np.where(is_near, candidate, 0)
        apart = np.linalg.norm(values[rows, None] - other_values[candidate], axis=2)
        apart[~is_near] = np.inf
        best = np.argsort(apart, axis=1, kind="stable")[:, : settings.neighbours]
        kept = np.take_along_axis(is_near, best, axis=1)
        columns = np.take_along_axis(candidate, best, axis=1)
        pairs.append(np.column_stack([np.broadcast_to(rows[:, None], best.shape)[kept], columns[kept]]))
    return np.concatenate(pairs).astype(np.int64)


def connect_in_part(
    labels: NDArray[np.int64], part: NodeFeatures, min_nodes: int, first_free: int
) -> NDArray[np.int64]:
    """Make the share that a graph has in joint parcels connected, keeping their labels.

    A joint parcel may hang together only through another graph: its largest piece stays, the others go to their
    neighbours; shares below `min_nodes` vanish from this graph. An island of the mesh that holds only such other pieces
    has no neighbours: it becomes a parcel of its own, numbered from `first_free`.
    """
    joined = join_fragments(labels, part.adjacency, min_nodes)
    piece = pieces(labels, part.adjacency)
    sizes = np.bincount(piece)
    # Largest pieces last, of equal ones the first (as in join_fragments), so that each label ends with the region that
    # holds its largest piece, and each region with the label of the largest piece it holds: no two get one label.
    order = np.lexsort((-piece, sizes[piece]))
    home = np.full(int(labels.max()) + 1, -1)
    home[labels[order]] = joined[order]
    result = np.full(int(joined.max()) + 1, -1, np.int64)
    at_home = order[home[labels[order]] == joined[order]]
    result[joined[at_home]] = labels[at_home]
    result[result < 0] = first_free + np.arange(int((result < 0).sum()))
    return result[joined]
