"""Simple points against a graph search, and deformation that must not change the topology."""

import networkx as nx
import numpy as np
import pytest
from scipy import ndimage

from cytomesh.surface.topology import OFFSETS, deform, euler_number, link_adjacency, simple_table


def simple_by_graphs(mask: int) -> bool:
    """The definition: object and background neighbours each form one component of the link."""
    link = nx.from_numpy_array(link_adjacency().astype(int))
    inside = [b for b in range(14) if mask >> b & 1]
    outside = [b for b in range(14) if not mask >> b & 1]
    return all(part and nx.is_connected(link.subgraph(part)) for part in (inside, outside))


def euler_by_simplices(is_object: np.ndarray) -> int:
    """Count vertices, edges, triangles and tetrahedra as cliques of the neighbour graph."""
    points = {tuple(p): n for n, p in enumerate(np.argwhere(is_object))}
    graph = nx.Graph()
    graph.add_nodes_from(points.values())
    for point, n in points.items():
        for step in OFFSETS[:7]:
            other = points.get(tuple(np.array(point) + step))
            if other is not None:
                graph.add_edge(n, other)
    return sum((-1) ** (len(clique) - 1) for clique in nx.enumerate_all_cliques(graph))


def test_link_is_a_triangulated_sphere():
    link = nx.from_numpy_array(link_adjacency().astype(int))
    triangles = sum(nx.triangles(link).values()) // 3
    assert (len(link), link.number_of_edges(), triangles) == (14, 36, 24)
    assert nx.check_planarity(link)[0]


def test_simple_table_agrees_with_graph_search():
    masks = np.random.default_rng(0).choice(2**14, 600, replace=False)
    assert [simple_by_graphs(int(m)) for m in masks] == simple_table()[masks].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_euler_number_counts_simplices(seed):
    blob = np.random.default_rng(seed).random((6, 7, 5)) < 0.5
    assert euler_number(blob) == euler_by_simplices(blob)


@pytest.mark.parametrize("source", [0, 1])
def test_deformation_keeps_topology(source):
    rng = np.random.default_rng(source)
    state = (ndimage.gaussian_filter(rng.standard_normal((20, 18, 16)), 1.5) > 0).astype(np.uint8)
    state[[0, -1]] = state[:, [0, -1]] = state[:, :, [0, -1]] = 0
    before = euler_number(state == 1), ndimage.label(state, np.ones((3, 3, 3)))[1]
    key = rng.random(state.shape).astype(np.float32)
    n_flipped = deform(state, source, lambda layers: key[layers], 0.0, 0.7)
    assert n_flipped > 100
    assert euler_number(state == 1) == before[0]


def test_growth_cuts_a_ring_at_its_thinnest_place():
    x, y, z = np.mgrid[-12:13, -12:13, -5:6].astype(np.float32)
    # a torus whose tube is thinnest at +x
    tube = 3.5 - 1.5 * (x > 0) * np.abs(x) / 12 - np.hypot(np.hypot(x, y) - 7.5, z)
    tube[[0, -1]] = tube[:, [0, -1]] = tube[:, :, [0, -1]] = -1
    state = np.zeros(tube.shape, np.uint8)
    state[np.unravel_index(tube.argmax(), tube.shape)] = 1
    deform(state, 0, lambda layers: -tube[layers], -float(tube.max()), 0.0)
    assert euler_number(tube > 0) == 0
    assert euler_number(state == 1) == 1
    cut = np.argwhere((tube > 0) & (state == 0))
    assert 5 < len(cut) < 40
    assert (x[tuple(cut.T)] >= 5).all()


def test_keys_above_the_limit_never_flip():
    state = np.zeros((9, 9, 9), np.uint8)
    state[4, 4, 4] = 1
    key = np.full(state.shape, 2.0, np.float32)
    key[4, 4, 1:6] = 0.5
    assert deform(state, 0, lambda layers: key[layers], 0.0, 1.0) == 4
    assert state.sum() == 5
