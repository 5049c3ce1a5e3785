import networkx as nx
import numpy as np
import scipy.sparse as sp

from cytomesh.classify.areas import area_adjacency, distances_to_areas, hop_distances
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


def test_against_networkx(synthetic):
    mesh = synthetic.sphere(1)
    areas = np.arange(42) % 4
    nodes, wanted = np.array([0, 5, 9, 40, 7]), np.array([1, 2, 1, 0, 9])
    graph = nx.Graph()
    for i, j in mesh.edges.tolist():
        graph.add_edge(i, j, length=float(np.linalg.norm(mesh.vertices[i] - mesh.vertices[j])))
    expected = []
    for node, area in zip(nodes, wanted, strict=True):
        lengths = nx.single_source_dijkstra_path_length(graph, int(node), weight="length")
        expected.append(min((lengths[v] for v in np.flatnonzero(areas == area)), default=np.inf))
    np.testing.assert_allclose(distances_to_areas(mesh, areas, nodes, wanted), expected)
