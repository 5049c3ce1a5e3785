import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from cytomesh.graph.partition import partition
from tests.conftest import sphere_mesh


@pytest.fixture(scope="module")
def mesh():
    return sphere_mesh(4)


@pytest.mark.parametrize("max_nodes", [100, 700, 5000])
def test_cores_share_out_the_nodes(mesh, max_nodes):
    parts = partition(mesh.vertices, mesh.adjacency(), max_nodes, 1)
    np.testing.assert_array_equal(np.sort(np.concatenate([part.core for part in parts])), np.arange(2562))
    sizes = [len(part.core) for part in parts]
    assert max(sizes) <= max_nodes
    assert max(sizes) - min(sizes) <= 1 + max(sizes) // 2
    assert len(parts) == {100: 32, 700: 4, 5000: 1}[max_nodes]


@pytest.mark.parametrize("halo", [0, 1, 3])
def test_halo_by_hops(mesh, halo):
    adjacency = mesh.adjacency()
    for part in partition(mesh.vertices, adjacency, 700, halo):
        np.testing.assert_array_equal(part.nodes[: len(part.core)], part.core)
        hops = dijkstra(adjacency, indices=part.core, unweighted=True, min_only=True)
        np.testing.assert_array_equal(np.sort(part.nodes), np.flatnonzero(hops <= halo))


def test_parts_are_compact(mesh):
    parts = partition(mesh.vertices, mesh.adjacency(), 200, 1)
    n_halo = sum(len(part.nodes) - len(part.core) for part in parts)
    assert n_halo < 0.5 * mesh.n_vertices  # 16 parts of 160 nodes: a compact one has a border of about 4 sqrt(160)


def test_edges_of_a_part_and_isolated_nodes():
    path = sp.diags([np.r_[np.ones(4), 0.0], np.r_[np.ones(4), 0.0]], [-1, 1], format="csr")
    path.eliminate_zeros()  # 0-1-2-3-4 and 5 alone
    positions = np.arange(6.0)[:, None] * [[1, 0, 0]]
    first, second = sorted(partition(positions, path, 3, 1), key=lambda part: part.core[0])
    assert first.nodes.tolist() == [0, 1, 2, 3]
    assert second.nodes.tolist() == [3, 4, 5, 2]
    np.testing.assert_array_equal(second.adjacency(path).toarray(), path.toarray()[np.ix_([3, 4, 5, 2], [3, 4, 5, 2])])
