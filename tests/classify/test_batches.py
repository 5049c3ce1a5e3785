import numpy as np
import pytest
import torch

from cytomesh.classify.batches import make_batches
from cytomesh.classify.config import (
    AttentionModel,
    ClassifyConfig,
    ConvolutionModel,
    InputsConfig,
    MlpModel,
    TrainingConfig,
)
from cytomesh.classify.nodes import assemble
from cytomesh.classify.training import NeuralClassifier
from cytomesh.graph.storage import load_graphs

MODELS = [
    AttentionModel(kind="gat", hidden=16, heads=2, layers=3),
    AttentionModel(kind="gatv2", hidden=16, heads=2, layers=2),
    ConvolutionModel(kind="gcn", hidden=16, layers=2),
    ConvolutionModel(kind="sage", hidden=16, layers=2),
    MlpModel(kind="mlp", hidden=16),
]
IDS = ["gat", "gatv2", "gcn", "sage", "mlp"]


@pytest.fixture(scope="module")
def data(section_run):
    graphs = load_graphs(section_run)
    settings = ClassifyConfig(inputs=InputsConfig())
    return assemble(section_run, graphs, [graph.annotation for graph in graphs], settings)[0]


def classifier(data, model, part_nodes):
    without_chance = {name: 0.0 for name in ("dropout", "input_dropout", "attention_dropout") if hasattr(model, name)}
    training = TrainingConfig(epochs=8, learning_rate=0.02, part_nodes=part_nodes, validate_every=4)
    settings = model.model_copy(update=without_chance)
    return NeuralClassifier(settings, training, data.inputs.shape[1], data.classes.size, torch.device("cpu"))


@pytest.mark.parametrize("model", MODELS, ids=IDS)
def test_parts_train_and_predict_as_the_whole(data, model):
    whole, parts = classifier(data, model, None), classifier(data, model, 200)
    assert len(make_batches(model, data, 200)) >= 3 * 642 / 200
    curves = [whole.fit(data, 0), parts.fit(data, 0)]
    for one, other in zip(*curves, strict=True):
        assert one.keys() == other.keys()
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    parts.load(whole.state())
    np.testing.assert_allclose(parts.probabilities(data), whole.probabilities(data), atol=1e-5)


def test_inputs_of_half_precision_mapped_from_disk(data, tmp_path):
    np.save(tmp_path / "inputs.npy", data.inputs.astype(np.float16))
    mapped = np.load(tmp_path / "inputs.npy", mmap_mode="r")
    for batch in make_batches(MODELS[0], data, 300):
        loaded = batch.load(mapped, torch.device("cpu"))
        assert loaded.dtype == torch.float32
        np.testing.assert_allclose(loaded.numpy(), data.inputs[batch.nodes], atol=5e-3)
        np.testing.assert_array_equal(batch.nodes[: batch.n_core], batch.core)
