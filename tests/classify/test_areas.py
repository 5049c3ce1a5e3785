import numpy as np
import scipy.sparse as sp

from cytomesh.classify.areas import area_adjacency, hop_distances
from cytomesh.classify.nodes import NodeData


def path_data(targets, sides):
    n = len(targets)
    adjacency = sp.diags([np.ones(n - 1), np.ones(n - 1)], [-1, 1], format="csr")
    classes = np.arange(1, max(targets) + 2, dtype=np.int32)
    inputs = np.zeros((n, 1), np.float32)
    return NodeData(
        inputs, np.array(targets), np.array(sides), adjacency, np.array([n]), classes, np.zeros((n, 3), np.float32)
    )


def test_neighbours_across_unlabelled_gaps_without_test_labels():
    # classes along a path: 0 0 . 1 . (test node of class 3) . 2, then 12 empty nodes, then 3
    targets = [0, 0, -1, 1, -1, 3, -1, 2, *[-1] * 12, 3]
    sides = ["train" if t >= 0 else "" for t in targets]
    sides[5] = "test"
    hops = hop_distances(area_adjacency(path_data(targets, sides)))
    np.testing.assert_array_equal(hops[:3, :3], [[0, 1, 2], [1, 0, 1], [2, 1, 0]])
    assert np.isinf(hops[3, :3]).all()
