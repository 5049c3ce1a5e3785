"""Borders between areas as polylines on a surface."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from cytomesh.surface.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Border:
    """One polyline between two areas.

    Parameters
    ----------
    areas : (int, int)
        Labels on its sides, ascending.
    points : (n, 3) float64
        In mm; the first point comes again at the end of a closed line.
    """

    areas: tuple[int, int]
    points: NDArray[np.float64]

    @property
    def length_mm(self) -> float:
        """Length along the line."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())


def borders(mesh: Mesh, labels: NDArray[np.int32]) -> list[Border]:
    """Trace the borders of a labelling of vertices.

    A border runs through the midpoints of edges whose ends differ; where three areas meet in a face, their borders
    meet in its centroid. Lines run from one such meeting to the next, or close.
    """
    lines: dict[tuple[int, int], nx.Graph] = defaultdict(nx.Graph)
    places: dict[Any, NDArray[np.float64]] = {}
    corners = labels[mesh.faces]
    mixed = np.flatnonzero((corners != corners[:, :1]).any(axis=1))
    for face in mixed.tolist():
        vertices = mesh.faces[face].tolist()
        cut = []
        for a, b in ((0, 1), (1, 2), (2, 0)):
            i, j = sorted((vertices[a], vertices[b]))
            if labels[i] != labels[j]:
                places[i, j] = (mesh.vertices[i] + mesh.vertices[j]) / 2
                cut.append(((i, j), (int(min(labels[i], labels[j])), int(max(labels[i], labels[j])))))
        if len(cut) == 2:
            lines[cut[0][1]].add_edge(cut[0][0], cut[1][0])
            continue
        places[face] = mesh.vertices[vertices].mean(axis=0)
        for middle, pair in cut:
            lines[pair].add_edge(middle, face)
    found = []
    for pair in sorted(lines):
        found += [Border(pair, np.array([places[key] for key in path])) for path in _paths(lines[pair])]
    return found


def _paths(graph: nx.Graph) -> list[list[Any]]:
    """Cut a graph into open paths between nodes of degree other than 2, and closed ones."""
    paths = []
    while graph.number_of_edges():
        start = next((node for node, degree in graph.degree if degree not in (0, 2)), None)
        if start is None:
            start = next(node for node, degree in graph.degree if degree)
        path = [start]
        while graph.degree[path[-1]]:
            following = next(iter(graph[path[-1]]))
            graph.remove_edge(path[-1], following)
            path.append(following)
            if following == start or graph.degree[following] != 1:
                break
        paths.append(path)
    return paths
