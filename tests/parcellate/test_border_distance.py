"""Distances between borders against a dense reference."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import floyd_warshall

from cytomesh.parcellate.border_distance import BorderDistance
from cytomesh.surface.mesh import edge_lengths


def by_loops(parcels: np.ndarray, areas: np.ndarray, lengths: sp.csr_matrix) -> tuple[float, float]:
    """Mean distance from area borders to parcel borders and back. Slow on purpose."""
    distance = floyd_warshall(lengths)
    dense = lengths.toarray() > 0
    n = len(parcels)
    of_areas = [i for i in range(n) if any(dense[i, j] and 0 < areas[i] != areas[j] > 0 for j in range(n))]
    of_parcels = [i for i in range(n) if any(dense[i, j] and parcels[i] != parcels[j] for j in range(n))]
    there = [min(distance[i, j] for j in of_parcels) for i in of_areas]
    back = [min(distance[i, j] for j in of_areas) for i in of_parcels if areas[i] > 0]
    return float(np.mean(there)), float(np.mean(back))


def test_both_ways_are_the_shortest_paths(make_planted) -> None:
    graph, _ = make_planted(2)
    lengths = edge_lengths(graph.positions, graph.adjacency)
    parcels = (graph.positions[:, 0] > 5.0).astype(int) + 2 * (graph.positions[:, 1] > -20.0)
    found = BorderDistance(parcels, lengths).to(graph.annotation)
    there, back = by_loops(parcels, graph.annotation, lengths)
    assert found["areas_to_parcels_mm"] == pytest.approx(there)
    assert found["parcels_to_areas_mm"] == pytest.approx(back)
    assert found["border_distance_mm"] == pytest.approx(0.5 * (there + back))


def test_the_same_borders_are_at_no_distance(make_planted) -> None:
    graph, _ = make_planted(2)
    lengths = edge_lengths(graph.positions, graph.adjacency)
    areas = np.where(graph.annotation > 0, graph.annotation, 1)
    assert BorderDistance(areas, lengths).to(areas)["border_distance_mm"] == 0.0


def test_nothing_to_compare(make_planted) -> None:
    graph, _ = make_planted(1)
    lengths = edge_lengths(graph.positions, graph.adjacency)
    parcels = (graph.positions[:, 0] > 0).astype(int)
    assert BorderDistance(parcels, lengths).to(np.zeros(graph.n_nodes, int)) == {}
    assert BorderDistance(np.zeros(graph.n_nodes, int), lengths).to(parcels + 1) == {}


def test_islands_without_a_border_do_not_count() -> None:
    path = sp.csr_matrix(np.eye(4, k=1) + np.eye(4, k=-1))
    lengths = sp.block_diag([path, path], format="csr")
    parcels, areas = np.array([0, 0, 1, 1, 2, 2, 2, 2]), np.array([1, 2, 2, 2, 1, 1, 2, 2])
    found = BorderDistance(parcels, lengths).to(areas)
    assert found["areas_to_parcels_mm"] == pytest.approx(0.5)  # nodes 0 and 1 to node 1; 5 and 6 see no border
