"""Leiden communities: about the wanted number, of higher modularity than chance."""

from __future__ import annotations

import sys

import networkx as nx
import numpy as np
import pytest

from cytomesh.core.errors import PackageError
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import AffinityConfig
from cytomesh.parcellate.leiden import leiden_communities


def test_communities_are_those_of_the_graph(make_planted) -> None:
    pytest.importorskip("leidenalg")
    graph, features = make_planted()
    values = np.nan_to_num(features).astype(float)
    weights = affinity_graph(graph.adjacency, values, AffinityConfig())
    labels = leiden_communities(weights, 8, 0)
    assert 6 <= len(np.unique(labels)) <= 10
    found = nx.community.modularity(nx.from_scipy_sparse_array(weights), _sets(labels))
    areas = np.argmin(((graph.positions[:, None] - graph.positions[None, :8]) ** 2).sum(-1), axis=1)
    assert found > nx.community.modularity(nx.from_scipy_sparse_array(weights), _sets(areas)) + 0.02
    np.testing.assert_array_equal(leiden_communities(weights, 8, 0), labels)


def _sets(labels: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]


def test_without_the_extra_the_way_out_is_named(make_planted, monkeypatch) -> None:
    graph, _ = make_planted(1)
    monkeypatch.setitem(sys.modules, "igraph", None)  # as if it were not installed
    with pytest.raises(PackageError, match="leiden"):
        leiden_communities(graph.adjacency, 3, 0)
