import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from cytomesh.core.errors import ConfigError
from cytomesh.core.tables import read_table
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graphs
from cytomesh.graph.vertex_graph import mesh_graph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.nodes import parcellate_nodes
from cytomesh.parcellate.run import parcellate_run


def test_planted_areas_come_back_without_a_run(make_planted):
    graph, features = make_planted()
    bare = mesh_graph(graph.mesh, is_cortex=graph.is_linked)
    parcels = parcellate_nodes(bare, np.nan_to_num(features), 8, preparation={"hops": 1}, min_nodes=4)
    assert parcels.dtype == np.int32
    assert (parcels[~graph.is_linked] == 0).all()
    here = graph.is_linked & (graph.annotation > 0)
    assert adjusted_rand_score(parcels[here], graph.annotation[here]) > 0.8


def test_a_number_of_parcels_is_read_as_settings_are(make_planted):
    graph, features = make_planted(2)
    parcels = parcellate_nodes(graph, features, 4, method="ward")
    np.testing.assert_array_equal(parcellate_nodes(graph, features, 4.0, method="ward"), parcels)


def test_an_unknown_setting_is_named(make_planted):
    graph, features = make_planted(2)
    with pytest.raises(ConfigError, match="did you mean 'min_nodes'"):
        parcellate_nodes(graph, features, 4, min_node=3)


@pytest.mark.parametrize("method", ["diffusion", "ward"])
def test_the_stage_and_the_library_give_the_same_parcels(make_run, method):
    run = make_run()
    (graph,), (encoder,) = load_graphs(run), [path.name for path in (run / "features").iterdir()]
    settings = {"preparation": {"hops": 1}, "min_nodes": 4, "seed": 3}
    evaluation = {"spins": 0, "tilings": 2, "baselines": [], "stability": {"splits": 0}}
    given = {**settings, "method": method, "n_parcels": 8, "evaluation": evaluation}
    parcellate_run(run, "stage", ParcellateConfig.model_validate(given))
    stage = read_table(run / "parcellate" / "stage" / f"{graph.name}.parquet")["parcel"]
    parcels = parcellate_nodes(graph, load_features(run, encoder, graph), 8, method=method, **settings)
    np.testing.assert_array_equal(parcels, stage)
