from dataclasses import replace

import numpy as np
import pytest
import torch

from cytomesh.classify.assemble import assemble
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.discriminant import DiscriminantConfig
from cytomesh.classify.inputs import InputsConfig
from cytomesh.classify.layers import AttentionModel
from cytomesh.classify.networks import MlpModel
from cytomesh.classify.training import NeuralClassifier, TrainingConfig
from cytomesh.core.errors import CheckpointError, TrainingError
from cytomesh.core.learning import macro_f1
from cytomesh.graph.storage import load_graphs

GAT = AttentionModel(kind="gat", hidden=16, heads=2)
MLP = MlpModel(kind="mlp", hidden=16)
SHORT = TrainingConfig(epochs=20, learning_rate=0.02, validate_every=5)
CPU = torch.device("cpu")
WITH_LDA = AttentionModel(kind="gat", hidden=16, heads=2, discriminant=DiscriminantConfig(shrinkage=0.1))


@pytest.fixture(scope="module")
def data(section_run):
    graphs = load_graphs(section_run)
    settings = ClassifyConfig(inputs=InputsConfig())
    return assemble(section_run, graphs, [graph.annotation for graph in graphs], settings)[0]


def classifier(data, model=GAT, training=SHORT):
    return NeuralClassifier(model, training, data.inputs.shape[1], data.classes.size, CPU)


@pytest.mark.parametrize("model", [GAT, MLP, WITH_LDA], ids=["gat", "mlp", "lda and gat"])
def test_same_seed_same_weights(data, model):
    first, second, third = (classifier(data, model) for _ in range(3))
    curves = [first.fit(data, 1), second.fit(data, 1), third.fit(data, 2)]
    assert curves[0] == curves[1] != curves[2]
    for name, array in first.state().items():
        np.testing.assert_array_equal(array, second.state()[name])
    assert curves[0][-1]["loss"] < curves[0][0]["loss"]
    assert "validation_macro_f1" in curves[0][4]
    assert "validation_macro_f1" not in curves[0][3]


def test_labels_of_test_nodes_are_never_read(data):
    hidden = np.where(data.is_train | data.is_validation, data.targets, 0)
    one, two = classifier(data), classifier(data)
    one.fit(data, 0)
    two.fit(replace(data, targets=hidden), 0)
    np.testing.assert_array_equal(one.probabilities(data), two.probabilities(data))


def test_stops_early_and_keeps_the_best(data):
    model = classifier(data, MLP, TrainingConfig(epochs=200, learning_rate=0.05, patience=10, validate_every=5))
    curve = model.fit(data, 0)
    assert len(curve) < 200
    best = max(record.get("validation_macro_f1", 0.0) for record in curve)
    rows = data.is_validation
    predicted = model.probabilities(data)[rows].argmax(axis=1)
    assert macro_f1(data.targets[rows], predicted) == pytest.approx(best)


def test_without_validation_all_epochs(data):
    sides = np.where(data.sides == "validation", "", data.sides)
    curve = classifier(data).fit(replace(data, sides=sides), 0)
    assert len(curve) == 20
    assert all(set(record) == {"epoch", "loss"} for record in curve)


@pytest.mark.parametrize("settings", [GAT, WITH_LDA], ids=["gat", "lda and gat"])
def test_weights_come_back_and_others_are_refused(data, settings):
    model = classifier(data, settings)
    model.fit(data, 0)
    again = classifier(data, settings)
    again.load(model.state())
    np.testing.assert_array_equal(model.probabilities(data), again.probabilities(data))
    with pytest.raises(CheckpointError, match="weights of this model"):
        classifier(data, MLP).load(model.state())


def test_divergence_is_an_error(data):
    inputs = data.inputs.copy()
    inputs[np.flatnonzero(data.is_train)[0]] = np.inf
    with pytest.raises(TrainingError, match="not finite"):
        classifier(data).fit(replace(data, inputs=inputs), 0)


def test_lda_s_vote_is_a_product_of_experts(data):
    alone = classifier(data, WITH_LDA.model_copy(update={"discriminant": DiscriminantConfig(shrinkage=0.1, weight=0)}))
    both = classifier(data, WITH_LDA)
    alone.fit(data, 0)
    both.fit(data, 0)
    vote = both.discriminant.log_probabilities(both.discriminant.variates(data.inputs))
    product = alone.probabilities(data) * np.exp(vote)
    expected = product / product.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(both.probabilities(data), expected, rtol=1e-3, atol=1e-6)


def test_noise_changes_training_only(data):
    noisy = classifier(data, MLP, SHORT.model_copy(update={"noise": 0.5}))
    quiet = classifier(data, MLP)
    assert noisy.fit(data, 0)[3]["loss"] != quiet.fit(data, 0)[3]["loss"]
    np.testing.assert_array_equal(noisy.probabilities(data), noisy.probabilities(data))
