import networkx as nx
import numpy as np

from cytomesh.classify.distances import distances_to_areas


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
