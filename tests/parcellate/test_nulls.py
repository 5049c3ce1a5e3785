"""Rotations of the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.nulls import make_nulls, spin_sources


def test_spins_are_rotations(make_planted) -> None:
    graph, _ = make_planted(4)
    sphere = graph.positions
    nodes = np.arange(graph.n_nodes)
    for source in spin_sources(sphere, nodes, 3, 0):
        # the map is nearly one rotation without reflection: fit it and look at what is left
        left, scale, right = np.linalg.svd(sphere[source].T @ sphere)
        rotation = left @ right
        assert np.linalg.det(rotation) > 0
        assert np.linalg.norm(sphere[source] - sphere @ rotation.T, axis=1).max() < 4.0  # less than one edge
        assert np.linalg.norm(rotation - np.eye(3)) > 0.1
        assert scale.min() > 0


def test_nulls_keep_areas_and_tile_with_k(make_planted) -> None:
    graph, _ = make_planted()
    nodes = np.flatnonzero(graph.is_linked)
    adjacency = graph.adjacency[nodes][:, nodes]
    arguments = graph.annotation, nodes
    nulls = make_nulls(*arguments, graph.positions, graph.positions[nodes], adjacency, 6, 4, 3, 0)
    assert len(nulls.spun) == 4
    assert len(nulls.tilings) == 3
    assert all(len(tiling) == len(nodes) and tiling.max() == 5 for tiling in nulls.tilings)
    counts = np.bincount(graph.annotation, minlength=9)
    for areas in nulls.spun:
        assert np.abs(np.bincount(areas, minlength=9) - counts)[1:].max() < 30
    assert make_nulls(*arguments, None, graph.positions[nodes], adjacency, 6, 4, 2, 0).spun == ()


def test_a_sphere_that_is_none_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(GraphError, match="sphere"):
        spin_sources(rng.normal(size=(50, 3)), np.arange(50), 2, 0)
