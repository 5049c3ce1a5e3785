"""Parcels through the reference space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cytomesh.core.tables import Table
from cytomesh.parcellate.brains import brain_scores


@pytest.fixture(scope="module")
def three(make_planted):
    """Two brains whose nodes correspond after turning the world, and the right side of the second."""
    one, _ = make_planted(2)
    order = np.random.default_rng(0).permutation(one.n_nodes)
    rank = np.argsort(order)
    mesh = replace(one.mesh, vertices=one.mesh.vertices[order] @ np.diag([1, -1, -1]), faces=rank[one.mesh.faces])
    nodes = Table({name: np.asarray(column)[order] for name, column in one.nodes.columns.items()})
    two = replace(one, brain="B02", mesh=mesh, nodes=nodes)
    return one, two, replace(two, hemisphere="R"), order


def nulls_for(graphs):
    rng = np.random.default_rng(1)
    names = ("tiling_1", "tiling_2", "noise_1")
    return {g.name: Table({name: 1 + rng.integers(8, size=g.n_nodes) for name in names}) for g in graphs}


def test_the_same_parcels_in_reference_space_agree(three) -> None:
    one, two, right, order = three
    graphs = [one, two, right]
    areas = one.annotation
    parcels = {one.name: areas, two.name: 9 - areas[order], right.name: areas}
    parcels[two.name][areas[order] == 0] = 0
    (pair,) = brain_scores(graphs, [graph.reference for graph in graphs], parcels, nulls_for(graphs), 5.0)
    assert pair["graphs"] == [one.name, two.name]
    assert pair["n_nodes"] == (areas > 0).sum()
    assert pair["ari"]["score"] == pytest.approx(1.0)
    assert pair["ari"]["noise_mean"] == pytest.approx(0.0, abs=0.05)
    assert pair["ari"]["over_geometry"] == pytest.approx(1.0, abs=0.05)


def test_brains_that_are_nowhere_near_are_not_compared(three) -> None:
    one, two, _, order = three
    far = replace(two, nodes=Table({**two.nodes.columns, "ref_x_mm": two.nodes["ref_x_mm"] + 500.0}))
    parcels = {one.name: one.annotation, two.name: one.annotation[order]}
    assert brain_scores([one, far], [one.reference, far.reference], parcels, nulls_for([one, far]), 5.0) == []
