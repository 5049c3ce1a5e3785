"""What each parcel is like: a card a parcel, and the graph of parcels that touch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import atomic_path
from cytomesh.core.labels import LabelTable
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.affinity import edge_list
from cytomesh.parcellate.connect import region_means
from cytomesh.parcellate.features import NodeFeatures

N_AREAS = 3


def parcel_summaries(
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    table: LabelTable,
    tilings: Sequence[NDArray[np.int64]] = (),
    confidence: NDArray[np.float64] | None = None,
) -> list[dict[str, Any]]:
    """Describe every parcel.

    Parameters
    ----------
    parcels : (m,) int64
        Labels of the parcellated nodes.
    table : LabelTable
        Their names.
    tilings : sequence of (m,) int64
        Geometry-only parcels of the same number: what similarity to an area is compared with.
    confidence : (m,) float64, optional
        See `stability.confidence`.

    Returns
    -------
    list of dict
        parcel, name; n_nodes, n_annotated (nodes with an area), area_mm2; central_node (the node nearest to the mean
        position) and its x_mm, y_mm, z_mm; thickness_mm; overlaps: list of up to three of area and share (of the
        annotated nodes), largest first; most_similar: list of up to three of area, distance (of mean features in the
        clustering coordinates) and, with tilings, over_null (how much nearer the area is than the parcels of the
        tilings on average, in standard deviations of those), nearest first; profile: mean standardised features;
        confidence: mean over the nodes.
    """
    areas = graph.annotation[features.nodes]
    kinds = np.unique(areas[areas > 0])
    of_areas = np.array([features.values[areas == kind].mean(axis=0) for kind in kinds])
    by_chance = np.concatenate([region_means(features.values, tiling) for tiling in tilings]) if tilings else None
    surface = np.asarray(graph.mesh.vertex_areas)[features.nodes]
    thickness = np.asarray(graph.nodes["thickness_mm"])[features.nodes] if "thickness_mm" in graph.nodes else None
    cards = []
    for parcel in np.unique(parcels):
        inside = np.flatnonzero(parcels == parcel)
        away = np.linalg.norm(features.positions[inside] - features.positions[inside].mean(axis=0), axis=1)
        middle = inside[np.argmin(away)]
        annotated = areas[inside][areas[inside] > 0]
        found, count = np.unique(annotated, return_counts=True)
        most = np.argsort(-count, kind="stable")[:N_AREAS]
        card: dict[str, Any] = {
            "parcel": int(parcel),
            "name": table.name(int(parcel)),
            "n_nodes": len(inside),
            "n_annotated": len(annotated),
            "area_mm2": float(surface[inside].sum()),
            "central_node": int(features.nodes[middle]),
            **dict(zip(("x_mm", "y_mm", "z_mm"), features.positions[middle].tolist(), strict=True)),
            "overlaps": [
                {"area": graph.labels.name(int(found[i])), "share": float(count[i] / len(annotated))} for i in most
            ],
            "profile": np.round(features.standardised[inside].mean(axis=0), 4).tolist(),
        }
        if confidence is not None:
            card["confidence"] = float(confidence[inside].mean())
        if thickness is not None:
            card["thickness_mm"] = float(np.nanmean(thickness[inside]))
        if len(kinds):
            apart = np.linalg.norm(of_areas - features.values[inside].mean(axis=0), axis=1)
            nearest = np.argsort(apart, kind="stable")[:N_AREAS]
            card["most_similar"] = [
                {"area": graph.labels.name(int(kinds[i])), "distance": float(apart[i])} for i in nearest
            ]
            if by_chance is not None:
                null = np.linalg.norm(of_areas[nearest, None] - by_chance, axis=2)
                over = (null.mean(axis=1) - apart[nearest]) / np.maximum(null.std(axis=1, ddof=1), 1e-12)
                for entry, value in zip(card["most_similar"], over.tolist(), strict=True):
                    entry["over_null"] = value
        cards.append(card)
    return cards


def parcel_graph(features: NodeFeatures, parcels: NDArray[np.int64], cards: list[dict[str, Any]]) -> nx.Graph:
    """Return the graph of parcels that touch.

    Nodes carry the plain numbers of their card. Edges carry n_edges (mesh edges across the border), border_mm (the sum
    of their dual lengths, edge length / sqrt(3) in equilateral triangles; such a border zigzags and is about a quarter
    longer than a smooth one) and contrast (distance of the mean features of the two parcels in the clustering
    coordinates).
    """
    result = nx.Graph()
    for card in cards:
        plain = {key: value for key, value in card.items() if isinstance(value, str | int | float)}
        result.add_node(card["parcel"], **plain)
    means = {card["parcel"]: features.values[parcels == card["parcel"]].mean(axis=0) for card in cards}
    i, j = edge_list(features.adjacency)
    crossing = parcels[i] != parcels[j]
    i, j = i[crossing], j[crossing]
    lengths = np.linalg.norm(features.positions[i] - features.positions[j], axis=1) / np.sqrt(3.0)
    ends = np.sort(np.column_stack([parcels[i], parcels[j]]), axis=1)
    pairs, of_pair, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    border = np.bincount(of_pair.ravel(), lengths, len(pairs))
    for (a, b), n_edges, length in zip(pairs.tolist(), count.tolist(), border.tolist(), strict=True):
        contrast = float(np.linalg.norm(means[a] - means[b]))
        result.add_edge(a, b, n_edges=n_edges, border_mm=length, contrast=contrast)
    return result


def write_graphml(path: Path, graph: nx.Graph) -> None:
    """Write a graph as GraphML, which Gephi, Cytoscape and igraph read."""
    with atomic_path(path) as temporary:
        nx.write_graphml(graph, temporary)
