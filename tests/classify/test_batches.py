from dataclasses import replace

import numpy as np
import pytest
import torch

from cytomesh.classify.assemble import assemble
from cytomesh.classify.batches import make_batches, steps_of_epoch
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.layers import AttentionModel, ConvolutionModel
from cytomesh.classify.networks import MlpModel
from cytomesh.classify.out_of_core import StoredInput, StoredInputs
from cytomesh.classify.training import NeuralClassifier, TrainingConfig
from cytomesh.graph.storage import load_graphs

MODELS = [
    AttentionModel(kind="gat", hidden=16, heads=2, layers=3),
    AttentionModel(kind="gatv2", hidden=16, heads=2, layers=2),
    ConvolutionModel(kind="gcn", hidden=16, layers=2),
    ConvolutionModel(kind="sage", hidden=16, layers=2),
    MlpModel(kind="mlp", hidden=16),
    AttentionModel(kind="gat", hidden=16, heads=2, layers=2, edges=["length", "dihedral"]),
]
IDS = ["gat", "gatv2", "gcn", "sage", "mlp", "gat with edges"]


@pytest.fixture(scope="module")
def data(section_run):
    graphs = load_graphs(section_run)
    settings = ClassifyConfig(model=MODELS[-1])
    return assemble(section_run, graphs, [graph.annotation for graph in graphs], settings)[0]


def classifier(data, model, part_nodes, **training):
    without_chance = {name: 0.0 for name in ("dropout", "input_dropout", "attention_dropout") if hasattr(model, name)}
    training = TrainingConfig(epochs=8, learning_rate=0.02, part_nodes=part_nodes, validate_every=4, **training)
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


@pytest.mark.parametrize("model", [MODELS[0], MODELS[4]], ids=["gat", "mlp"])
def test_inputs_of_half_precision_on_disk(data, tmp_path, model):
    half = data.inputs.astype(np.float16)
    np.save(tmp_path / "inputs.npy", half)
    column = StoredInput(np.load(tmp_path / "inputs.npy", mmap_mode="r"))
    on_disk = replace(data, inputs=StoredInputs(((column,),)))
    in_memory = replace(data, inputs=half.astype(np.float32))
    whole, parts = classifier(data, model, None), classifier(data, model, 200)
    curves = [whole.fit(in_memory, 0), parts.fit(on_disk, 0)]
    assert [r["loss"] for r in curves[0]] == pytest.approx([r["loss"] for r in curves[1]], rel=1e-4)
    parts.load(whole.state())
    np.testing.assert_allclose(parts.probabilities(on_disk), whole.probabilities(in_memory), atol=1e-5)


def test_steps_deal_every_batch_out_once(data):
    batches = make_batches(MODELS[0], data, 100)
    assert steps_of_epoch(batches, None, 0, 1) == [batches]
    epochs = [steps_of_epoch(batches, 4, 0, epoch) for epoch in (1, 2, 1)]
    for steps in epochs:
        assert {len(step) for step in steps[:-1]} == {4}
        assert sorted(batch.index for step in steps for batch in step) == list(range(len(batches)))
    orders = [[batch.index for step in steps for batch in step] for steps in epochs]
    assert orders[0] == orders[2] != orders[1]


def test_mini_batches_take_a_step_each(data):
    model = MODELS[0]
    n_parts = len(make_batches(model, data.training_part(), 200))
    all_at_once = classifier(data, model, 200, parts_per_step=n_parts)
    one_by_one = classifier(data, model, 200, parts_per_step=1)
    exact = classifier(data, model, 200)
    curves = [c.fit(data, 0) for c in (all_at_once, one_by_one, exact)]
    losses = [[record["loss"] for record in curve] for curve in curves]
    assert losses[0] == pytest.approx(losses[2], rel=1e-4)
    assert losses[1][-1] < losses[2][-1]  # more steps in as many epochs
