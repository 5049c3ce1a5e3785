import numpy as np
from scipy.sparse.csgraph import connected_components, dijkstra

from benchmarks.classify.blocks import fold_masks, spread_blocks
from tests.conftest import sphere_mesh


def test_blocks_are_connected_and_of_similar_extent():
    adjacency = sphere_mesh(3).adjacency()
    block = spread_blocks(adjacency, np.ones(642, bool), 12, np.random.default_rng(0))
    assert set(block) == set(range(12))
    sizes = np.bincount(block)
    assert sizes.max() < 4 * sizes.min()
    for i in range(12):
        inside = np.flatnonzero(block == i)
        assert connected_components(adjacency[inside][:, inside])[0] == 1


def test_every_node_is_tested_once_and_trains_beyond_the_margin():
    adjacency = sphere_mesh(3).adjacency()
    is_inside = np.arange(642) % 5 > 0
    masks = fold_masks(adjacency, is_inside, 20, 4, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(sum(test.astype(int) for _, test in masks), is_inside)
    for train, test in masks:
        assert train.any()
        assert not (train & ~is_inside).any()
        hops = dijkstra(adjacency, indices=np.flatnonzero(test), unweighted=True, min_only=True)
        assert hops[train].min() == 3
