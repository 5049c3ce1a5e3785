"""A graph says the same in other libraries' words."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from cytomesh.core.errors import GraphError
from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph
from tests.conftest import sphere_graph


@pytest.fixture
def graph() -> CortexGraph:
    return sphere_graph(subdivisions=2)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # within torch_geometric
def test_to_pyg(graph):
    features = np.arange(graph.n_nodes * 2, dtype=np.float16).reshape(-1, 2)
    data = graph.to_pyg(features)
    assert data.validate() and data.is_undirected()
    assert data.num_nodes == graph.n_nodes and data.edge_index.dtype == torch.int64
    np.testing.assert_array_equal(data.x.numpy(), features)
    adjacency = sp.coo_matrix((np.ones(data.num_edges), data.edge_index.numpy()), (graph.n_nodes,) * 2)
    assert (adjacency.tocsr() != graph.adjacency).nnz == 0
    np.testing.assert_array_equal(data.y.numpy(), graph.annotation)
    with pytest.raises(GraphError, match="one per node"):
        graph.to_pyg(features[1:])


def test_to_networkx(graph):
    found = graph.to_networkx()
    assert found.number_of_nodes() == graph.n_nodes and found.number_of_edges() == len(graph.mesh.edges)
    i, j = graph.mesh.edges[7]
    assert found.edges[i, j]["length_mm"] == pytest.approx(np.linalg.norm(graph.positions[i] - graph.positions[j]))
    assert found.nodes[3]["annotation"] == graph.annotation[3]


def test_to_dataframe(graph):
    maps = sp.random(graph.n_nodes, len(graph.labels), 0.3, format="csr", rng=np.random.default_rng(0))
    with_maps = CortexGraph("B", "R", "train", graph.mesh, Table({**graph.nodes.columns, "pmap": maps}), graph.labels)
    for some in (graph, with_maps):
        frame = some.to_dataframe()
        assert len(frame) == graph.n_nodes and frame.attrs["hemisphere"] == some.hemisphere
        names = [graph.labels.name(label) if label else "" for label in graph.annotation.tolist()]
        assert frame["area"].tolist() == names
    np.testing.assert_allclose(frame[[f"p {name}" for name in graph.labels.names]].to_numpy(), maps.toarray())


def test_to_surface_image(graph):
    image = graph.to_surface_image(np.arange(graph.n_nodes))
    assert image.shape == (graph.n_nodes,)
    np.testing.assert_allclose(image.mesh.parts["left"].coordinates, graph.positions, atol=1e-4)
    with pytest.raises(GraphError, match="one per node"):
        graph.to_surface_image(np.zeros(3))
