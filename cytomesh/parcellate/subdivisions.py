"""Candidate subdivisions: strong data-driven borders that lie inside one expert area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.affinity import edge_list
from cytomesh.parcellate.features import NodeFeatures

BAND_HOPS = 3
MIN_SIDE = 5
MAX_PLACES = 12


@dataclass(frozen=True, slots=True)
class InnerBorder:
    """A border between two parcels inside one area.

    Parameters
    ----------
    area, one, other : int
    nodes : (b,) int64
        Its nodes on both sides, rows of the parcellated nodes.
    contrast : float
        Distance of the mean coordinates of the two sides, over nodes of the area at most 3 edges from the border.
    """

    area: int
    one: int
    other: int
    nodes: NDArray[np.int64]
    contrast: float


def candidate_subdivisions(
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    tilings: Sequence[NDArray[np.int64]],
) -> list[dict[str, Any]]:
    """List where data-driven borders divide an area, strongest first.

    The null is the same contrast across the borders inside areas of parcels that know geometry alone: any border in
    cortex that varies smoothly has some contrast.

    Parameters
    ----------
    parcels : (m,) int64
    tilings : sequence of (m,) int64
        Geometry-only parcels of the same number (`nulls.Nulls.tilings`).

    Returns
    -------
    list of dict
        area, parcels, contrast, null_mean; effect_sd: contrast over the null mean in null standard deviations; p: share
        of null borders with at least this contrast, counting itself); node, x_mm, y_mm, z_mm (middle of the border);
        places: up to twelve linked nodes along it with section, column_px, row_px, one a section. Only borders above
        the null's mean are listed; empty if there is no area or no null border.
    """
    areas = graph.annotation[features.nodes]
    null = np.array([border.contrast for tiling in tilings for border in inner_borders(features, tiling, areas)])
    if len(null) < 2:
        return []
    mean, spread = float(null.mean()), max(float(null.std(ddof=1)), 1e-12)
    found = sorted(inner_borders(features, parcels, areas), key=lambda border: -border.contrast)
    return [
        {
            "area": graph.labels.name(border.area),
            "parcels": [border.one, border.other],
            "contrast": border.contrast,
            "null_mean": mean,
            "effect_sd": (border.contrast - mean) / spread,
            "p": (1 + int((null >= border.contrast).sum())) / (1 + len(null)),
            **_place(graph, features, border.nodes),
        }
        for border in found
        if border.contrast > mean
    ]


def inner_borders(features: NodeFeatures, parcels: NDArray[np.int64], areas: NDArray[np.int32]) -> list[InnerBorder]:
    """Return every border between two parcels inside an area, with at least five nodes near it on either side."""
    i, j = edge_list(features.adjacency)
    inside = (areas[i] == areas[j]) & (areas[i] > 0) & (parcels[i] != parcels[j])
    i, j = i[inside], j[inside]
    keys = np.column_stack([areas[i], np.minimum(parcels[i], parcels[j]), np.maximum(parcels[i], parcels[j])])
    groups, of_group = np.unique(keys, axis=0, return_inverse=True)
    result = []
    for number, (area, one, other) in enumerate(groups.tolist()):
        edges = np.flatnonzero(of_group.ravel() == number)
        nodes = np.unique(np.concatenate([i[edges], j[edges]]))
        near = within(features.adjacency, nodes, BAND_HOPS)
        near = near[areas[near] == area]
        sides = [features.values[near[parcels[near] == side]] for side in (one, other)]
        if min(map(len, sides)) >= MIN_SIDE:
            contrast = float(np.linalg.norm(sides[0].mean(axis=0) - sides[1].mean(axis=0)))
            result.append(InnerBorder(area, one, other, nodes, contrast))
    return result


def within(adjacency: sp.csr_matrix, nodes: NDArray[np.int64], hops: int) -> NDArray[np.int64]:
    """Return the nodes at most so many edges away from some, ascending; reads no more of the graph than these."""
    reached = front = np.unique(nodes)
    for _ in range(hops):
        ends = [adjacency.indices[adjacency.indptr[node] : adjacency.indptr[node + 1]] for node in front]
        front = np.setdiff1d(np.concatenate(ends), reached) if ends else front
        reached = np.union1d(reached, front)
    return np.asarray(reached, np.int64)


def _place(graph: CortexGraph, features: NodeFeatures, border: NDArray[np.int64]) -> dict[str, Any]:
    positions = features.positions[border]
    middle = int(np.argmin(np.linalg.norm(positions - positions.mean(axis=0), axis=1)))
    nodes = features.nodes[border]
    linked = nodes[graph.is_linked[nodes] & (graph.section[nodes] >= 0)]
    _, first = np.unique(graph.section[linked], return_index=True)
    columns = [np.asarray(graph.nodes[name]) for name in ("column_px", "row_px")]
    places = [
        {"section": int(graph.section[node]), "column_px": float(columns[0][node]), "row_px": float(columns[1][node])}
        for node in linked[first][:MAX_PLACES]
    ]
    return {
        "node": int(nodes[middle]),
        **dict(zip(("x_mm", "y_mm", "z_mm"), positions[middle].tolist(), strict=True)),
        "places": places,
    }
