"""Rotations of the sphere."""

from __future__ import annotations

import numpy as np

from cytomesh.parcellate.nulls import make_nulls


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
