"""Every classifier fits and predicts on arrays, as the program does on runs."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.area_classifier import AreaClassifier
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.kinds import CLASSIFIERS, LAYERS
from cytomesh.classify.run import classify_run
from cytomesh.core.errors import AtlasError, ConfigError, FeatureError, SplitError
from cytomesh.core.tables import read_table
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graphs

KINDS = sorted({*CLASSIFIERS, *LAYERS})
QUICK = {"epochs": 30, "validate_every": 5, "learning_rate": 0.02}


@pytest.fixture
def nodes(synthetic):
    mesh = synthetic.sphere(2)
    labels = np.where(mesh.vertices[:, 2] > 0, 7, 3)
    noise = np.random.default_rng(0).normal(size=(mesh.n_vertices, 5))
    return noise + 2.0 * (labels == 7)[:, None], labels, mesh.adjacency()


@pytest.mark.parametrize("kind", KINDS)
def test_learns_on_one_mesh_and_predicts_on_another(nodes, kind):
    inputs, labels, adjacency = nodes
    given = labels.copy()
    given[::3] = 0
    classifier = AreaClassifier(kind, training=QUICK).fit(inputs, given, adjacency, validation=np.arange(162) % 3 == 1)
    assert classifier.classes_.tolist() == [3, 7]
    probabilities = classifier.predict_proba(inputs, adjacency)
    assert probabilities.shape == (162, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (classifier.predict(inputs, adjacency) == labels)[::3].mean() > 0.9
    two = sp.block_diag([adjacency, adjacency], format="csr")
    both = classifier.predict(np.concatenate([inputs, inputs[::-1]]), two)
    assert both.shape == (324,)
    again = AreaClassifier(kind, training=QUICK).fit(inputs, given, adjacency, validation=np.arange(162) % 3 == 1)
    np.testing.assert_array_equal(again.predict_proba(inputs, adjacency), probabilities)


def test_inputs_on_another_scale_are_the_same_inputs(nodes):
    inputs, labels, _ = nodes
    one = AreaClassifier("logistic").fit(inputs, labels).predict_proba(inputs)
    other = AreaClassifier("logistic").fit(1000 * inputs + 5, labels).predict_proba(1000 * inputs + 5)
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_what_cannot_be_used_is_named(nodes):
    inputs, labels, adjacency = nodes
    with pytest.raises(ConfigError, match="did you mean 'shrinkage'"):
        AreaClassifier("lda", shrinkge=0.1)
    with pytest.raises(ConfigError, match="mesh edges"):
        AreaClassifier("gat", edges=["length"])
    with pytest.raises(FeatureError, match=r"162 x 162.*expected 100 x 100"):
        AreaClassifier("gcn").fit(inputs[:100], labels[:100], adjacency)
    with pytest.raises(FeatureError, match="NaN.*give the adjacency"):
        AreaClassifier("lda").fit(np.full_like(inputs, np.nan), labels)
    with pytest.raises(FeatureError, match="NaN at every labelled node"):
        AreaClassifier("lda").fit(np.full_like(inputs, np.nan), labels, adjacency)
    with pytest.raises(FeatureError, match=r"shape \(162, 0\)"):
        AreaClassifier("lda").fit(inputs[:, :0], labels)
    with pytest.raises(FeatureError, match="shape"):
        AreaClassifier("lda").fit(inputs[:5], labels)
    with pytest.raises(SplitError, match="found 1 area, expected two or more"):
        AreaClassifier("lda").fit(inputs, np.ones(162, int))


def test_mesh_edges_have_two_directions_and_no_weights(nodes):
    inputs, labels, adjacency = nodes
    inputs = np.where(np.arange(len(inputs))[:, None] % 7 == 0, np.nan, inputs)
    with pytest.raises(FeatureError, match=r"one direction.*adjacency \+ adjacency.T"):
        AreaClassifier("lda").fit(inputs, labels, sp.triu(adjacency).tocsr())
    weighted = adjacency.copy()
    weighted.data = np.random.default_rng(0).uniform(1, 2, weighted.nnz)
    weighted = weighted + weighted.T
    one = AreaClassifier("lda").fit(inputs, labels, adjacency).predict_proba(inputs, adjacency)
    other = AreaClassifier("lda").fit(inputs, labels, weighted).predict_proba(inputs, weighted)
    np.testing.assert_array_equal(one, other)


def test_devices_that_are_not_there_are_named():
    for wrong in ("gpu", "cuda:99"):
        with pytest.raises(ConfigError, match="device"):
            AreaClassifier("lda", device=wrong)


@dataclass
class Stage:
    """What `cytomesh classify` read and wrote, all graphs one after the other."""

    graphs: list
    inputs: np.ndarray
    sides: np.ndarray
    taught: np.ndarray
    area: np.ndarray
    confidence: np.ndarray


@pytest.fixture
def stage(section_run, tmp_path):
    """Run the stage with a kind of classifier."""

    def run_stage(kind):
        run = shutil.copytree(section_run, tmp_path / "run")
        classify_run(run, "stage", ClassifyConfig.model_validate({"model": {"kind": kind}, "n_seeds": 1}))
        graphs = load_graphs(run)
        tables = [read_table(run / "classify" / "stage" / "predictions" / f"{graph.name}.parquet") for graph in graphs]
        (encoder,) = [path.name for path in (run / "features").iterdir()]
        inputs = np.concatenate([np.asarray(load_features(run, encoder, graph), np.float32) for graph in graphs])
        names = ("side", "annotation", "area", "confidence")
        sides, labels, area, confidence = (np.concatenate([table[name] for table in tables]) for name in names)
        taught = np.where(np.isin(sides, ["train", "validation"]), labels, 0)
        return Stage(graphs, inputs, sides, taught, area, confidence)

    return run_stage


@pytest.mark.parametrize("kind", ["lda", "logistic", "knn"])
def test_the_stage_and_the_library_give_the_same_areas(stage, kind):
    by_stage = stage(kind)
    linked = np.concatenate([graph.is_linked for graph in by_stage.graphs])
    inputs, held_out = np.where(linked[:, None], by_stage.inputs, 0), by_stage.sides == "validation"
    classifier = AreaClassifier(kind).fit(inputs, by_stage.taught, validation=held_out)
    np.testing.assert_array_equal(classifier.predict(inputs[linked]), by_stage.area[linked])
    confidence = classifier.predict_proba(inputs[linked]).max(axis=1)
    np.testing.assert_array_equal(confidence, by_stage.confidence[linked])


def test_nodes_without_inputs_are_filled_in_as_by_the_stage(stage):
    by_stage = stage("lda")
    assert np.isnan(by_stage.inputs).any()
    adjacency = sp.block_diag([graph.adjacency for graph in by_stage.graphs], format="csr")
    held_out = by_stage.sides == "validation"
    classifier = AreaClassifier("lda").fit(by_stage.inputs, by_stage.taught, adjacency, validation=held_out)
    np.testing.assert_array_equal(classifier.predict(by_stage.inputs, adjacency), by_stage.area)


def test_what_does_not_belong_together_is_named(nodes):
    inputs, labels, _ = nodes
    with pytest.raises(FeatureError, match="call fit first"):
        AreaClassifier("lda").predict(inputs)
    fitted = AreaClassifier("lda").fit(inputs, labels)
    with pytest.raises(FeatureError, match=r"4 columns, expected the 5"):
        fitted.predict(inputs[:, :4])
    with pytest.raises(FeatureError, match=r"validation: found int64, expected bool"):
        AreaClassifier("lda").fit(inputs, labels, validation=np.arange(162))
    for wrong in (labels + 0.5, labels.astype(str), np.where(labels == 3, np.nan, 7), labels + 2**31):
        with pytest.raises(AtlasError, match="whole numbers"):
            AreaClassifier("lda").fit(inputs, wrong)
