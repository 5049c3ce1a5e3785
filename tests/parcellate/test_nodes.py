import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cytomesh.core.errors import ConfigError
from cytomesh.graph.vertex_graph import mesh_graph
from cytomesh.parcellate.nodes import parcellate_nodes


def test_planted_areas_come_back_without_a_run(make_planted):
    graph, features = make_planted()
    bare = mesh_graph(graph.mesh, is_cortex=graph.is_linked)
    parcels = parcellate_nodes(bare, np.nan_to_num(features), 8, preparation={"hops": 1}, min_nodes=4)
    assert parcels.dtype == np.int32
    assert (parcels[~graph.is_linked] == 0).all()
    here = graph.is_linked & (graph.annotation > 0)
    assert adjusted_rand_score(parcels[here], graph.annotation[here]) > 0.8


def test_an_unknown_setting_is_named(make_planted):
    graph, features = make_planted(2)
    with pytest.raises(ConfigError, match="did you mean 'min_nodes'"):
        parcellate_nodes(graph, features, 4, min_node=3)
