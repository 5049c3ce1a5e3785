import numpy as np
import pytest

from cytomesh.core.errors import FeatureError, MissingStageError
from cytomesh.core.tables import Table
from cytomesh.graph.features import load_features, save_features
from cytomesh.graph.storage import CortexGraph
from tests.conftest import sphere_graph


@pytest.fixture
def graph() -> CortexGraph:
    return sphere_graph(subdivisions=2)


def features_of(graph: CortexGraph, dim: int = 4) -> np.ndarray:
    features = np.random.default_rng(0).normal(size=(graph.n_nodes, dim)).astype(np.float32)
    features[~graph.is_linked] = np.nan
    return features


def test_features_round_trip(tmp_path, graph):
    features = features_of(graph)
    save_features(tmp_path, "cnn", graph, features, {"um_per_px": 20.0})
    np.testing.assert_array_equal(load_features(tmp_path, "cnn", graph), features)


def test_features_of_another_graph_are_refused(tmp_path, graph):
    save_features(tmp_path, "cnn", graph, features_of(graph), {})
    moved = {**graph.nodes.columns, "column_px": graph.nodes["column_px"] + 1}
    other = CortexGraph(graph.brain, graph.hemisphere, "train", graph.mesh, Table(moved), graph.labels)
    with pytest.raises(FeatureError, match="another graph"):
        load_features(tmp_path, "cnn", other)
    with pytest.raises(MissingStageError, match="choose one of: cnn"):
        load_features(tmp_path, "vit", graph)


def test_bad_features_are_refused(tmp_path, graph):
    features = features_of(graph)
    node = int(np.flatnonzero(graph.is_linked)[7])
    features[node, 1] = np.nan
    with pytest.raises(FeatureError, match=rf"node {node} \(section {graph.section[node]}\)"):
        save_features(tmp_path, "cnn", graph, features, {})
    with pytest.raises(FeatureError, match="collapsed"):
        save_features(tmp_path, "cnn", graph, np.ones((graph.n_nodes, 3), np.float32), {})
    with pytest.raises(FeatureError, match="shape"):
        save_features(tmp_path, "cnn", graph, features[:-1], {})
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize("change", ["zeroed", "others"])
def test_features_that_are_not_as_they_were_written_are_refused(tmp_path, graph, change):
    features = features_of(graph)
    save_features(tmp_path, "cnn", graph, features, {})
    path = tmp_path / "features" / "cnn" / f"{graph.name}.npy"
    spoilt = features[:, ::-1].copy()
    if change == "zeroed":
        spoilt = features.copy()
        spoilt[graph.n_nodes // 2 :] = 0
    np.save(path, spoilt)
    with pytest.raises(FeatureError, match=r"npy: found features that are not as they were.*embed .*--no-resume"):
        load_features(tmp_path, "cnn", graph)


def test_features_of_another_encoder_are_refused(tmp_path, graph):
    save_features(tmp_path, "cnn", graph, features_of(graph), {})
    (tmp_path / "features" / "cnn").rename(tmp_path / "features" / "vit")
    with pytest.raises(FeatureError, match="features of encoder 'cnn' in the folder of 'vit'"):
        load_features(tmp_path, "vit", graph)


@pytest.mark.parametrize("name", ["B01_hemi-L.npy", "B01_hemi-L.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x93NUMPY\x01\x00\x05\x00(((((", b"\x80\x04N."])
def test_damaged_features_are_one_error(tmp_path, graph, name, content):
    save_features(tmp_path, "cnn", graph, features_of(graph), {})
    (tmp_path / "features" / "cnn" / name).write_bytes(content)
    with pytest.raises(FeatureError, match=rf"{name}: found .*--no-resume"):
        load_features(tmp_path, "cnn", graph)
