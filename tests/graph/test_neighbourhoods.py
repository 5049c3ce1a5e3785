import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.graph.neighbourhoods import fill_rings, hop_mean, impute, nearest_source, neighbour_means
from tests.conftest import sphere_graph, sphere_mesh


def hops_from(adjacency, start):
    """Breadth-first search, written out."""
    distance = {start: 0}
    ring = [start]
    while ring:
        ring_next = []
        for i in ring:
            for j in adjacency[i].indices:
                if j not in distance:
                    distance[j] = distance[i] + 1
                    ring_next.append(j)
        ring = ring_next
    return distance


@pytest.fixture
def problem():
    adjacency = sphere_mesh(1, 40.0).adjacency()
    random = np.random.default_rng(0)
    values = random.normal(size=(42, 3)).astype(np.float32)
    is_known = random.random(42) < 0.7
    values[~is_known] = np.nan
    return values, is_known, adjacency


def test_disc_means_against_breadth_first_search(problem):
    values, is_known, adjacency = problem
    means = neighbour_means(values, is_known, adjacency, [0, 1, 2], "disc").reshape(42, 3, 3)
    for node in range(42):
        distance = hops_from(adjacency, node)
        for slot, hop in enumerate([0, 1, 2]):
            inside = [j for j, h in distance.items() if h <= hop and is_known[j]]
            expected = values[inside].mean(axis=0) if inside else np.full(3, np.nan)
            np.testing.assert_allclose(means[node, slot], expected, rtol=1e-5, atol=1e-6)


def test_walk_means_against_loops(problem):
    values, is_known, adjacency = problem
    means = neighbour_means(values, is_known, adjacency, [0, 1, 3], "walk")
    current = values.copy()
    steps = [current]
    for _ in range(3):
        following = np.full_like(current, np.nan)
        for node in np.flatnonzero(is_known):
            around = [node, *(j for j in adjacency[node].indices if is_known[j])]
            following[node] = current[around].mean(axis=0)
        current = following
        steps.append(current)
    np.testing.assert_allclose(means, np.hstack([steps[0], steps[1], steps[3]]), rtol=1e-5, atol=1e-6)


def test_isolated_nodes_and_two_components():
    # 0-1-2, 3-4, 5 alone; only 0 and 3 known
    edges = np.array([[0, 1], [1, 2], [3, 4]])
    adjacency = sp.csr_matrix((np.ones(6), (np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]])), (6, 6))
    values = np.full((6, 1), np.nan, np.float32)
    values[[0, 3], 0] = 2.0, -1.0
    filled, n_unreachable = impute(values, adjacency)
    np.testing.assert_allclose(filled[:, 0], [2, 2, 2, -1, -1, 0])
    assert n_unreachable == 1
    assert nearest_source(adjacency, np.array([0, 3])).tolist() == [0, 0, 0, 1, 1, -1]
    discs = neighbour_means(values, ~np.isnan(values[:, 0]), adjacency, [0, 1], "disc")
    assert np.isnan(discs[5]).all()


def test_imputation_keeps_known_rows_and_interpolates():
    mesh = sphere_mesh(3, 40.0)
    linear = mesh.vertices.astype(np.float32) / 40  # harmonic on the sphere up to curvature
    values = linear.copy()
    hole = mesh.vertices[:, 2] > 34
    values[hole] = np.nan
    filled, n_unreachable = impute(values, mesh.adjacency())
    assert n_unreachable == 0
    np.testing.assert_array_equal(filled[~hole], linear[~hole])
    assert np.abs(filled[hole] - linear[hole]).max() < 0.25


def test_nearest_source_respects_the_limit():
    path = sp.diags([np.ones(4), np.ones(4)], [-1, 1], format="csr")
    assert nearest_source(path, np.array([0]), max_hops=2).tolist() == [0, 0, 0, -1, -1]
    assert nearest_source(path, np.array([], np.int64)).tolist() == [-1] * 5


def path_graph(n: int) -> sp.csr_matrix:
    return sp.csr_matrix(np.eye(n, k=1) + np.eye(n, k=-1))


def test_hop_mean_is_the_mean_over_the_neighbourhood_step_by_step():
    graph = sphere_graph(subdivisions=2)
    values = np.random.default_rng(1).normal(size=(graph.n_nodes, 3))
    expected = values
    for _ in range(2):
        expected = np.array([expected[[i, *graph.adjacency[i].indices]].mean(axis=0) for i in range(graph.n_nodes)])
    np.testing.assert_allclose(hop_mean(graph.adjacency, values, 2), expected, atol=1e-12)


def test_rings_are_filled_one_by_one_and_stop():
    rows, known = np.array([[0.0], [9.0], [9.0], [9.0], [8.0]]), np.array([True, False, False, False, True])
    filled, is_filled = fill_rings(rows, known, path_graph(5), 1)
    np.testing.assert_array_equal(filled.ravel(), [0.0, 0.0, 0.0, 8.0, 8.0])
    assert is_filled.tolist() == [True, True, False, True, True]
    filled, is_filled = fill_rings(rows, known, path_graph(5))
    assert is_filled.all()
    assert filled[2, 0] == 4.0
