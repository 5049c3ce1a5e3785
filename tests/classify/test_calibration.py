import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from cytomesh.classify.assemble import assemble
from cytomesh.classify.calibration import fit_temperature, with_temperature
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.models import load_state, make_classifier
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.files import read_json
from cytomesh.graph.storage import load_graphs


def drawn(scale, n=4000, k=4):
    """Labels drawn from probabilities, and what a model says whose logits are `scale` times as large."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(n, k))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    targets = (random.random((n, 1)) > cumulative).sum(axis=1)
    return softmax(scale * logits, axis=1).astype(np.float32), targets.astype(np.int64)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_temperature_takes_the_scale_back(scale):
    probabilities, targets = drawn(scale)
    found = fit_temperature(probabilities, targets)
    assert found == pytest.approx(scale, rel=0.1)

    def cross_entropy(t):
        p = probabilities.astype(np.float64) ** (1 / t)
        return -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(len(targets)), targets]).mean()

    grid = np.geomspace(0.1, 10, 400)
    assert found == pytest.approx(grid[np.argmin([cross_entropy(t) for t in grid])], rel=0.02)
    assert cross_entropy(found) < cross_entropy(1.0)


def test_temperature_and_back():
    probabilities, targets = drawn(1.0, n=50)
    scaled = with_temperature(probabilities, 2.5)
    np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(with_temperature(scaled, 1 / 2.5), probabilities, atol=1e-5)
    assert fit_temperature(probabilities[:0], targets[:0]) == 1.0


def best_on_a_grid(probabilities, targets):
    """The temperature of smallest cross-entropy, tried one by one."""
    log_p = np.log(probabilities.astype(np.float64))
    grid = np.geomspace(0.05, 20, 600)
    losses = [-log_softmax(log_p / t, axis=1)[np.arange(len(targets)), targets].mean() for t in grid]
    return grid[np.argmin(losses)]


@pytest.mark.parametrize("surroundings", ["{}", "{hops: [2]}"])
def test_the_temperature_is_that_of_the_validation_nodes(section_run, surroundings):
    """Training nodes are predicted too well by a model that knows them: a temperature fitted on them is too low."""
    settings = load_config(
        ClassifyConfig,
        None,
        [
            "model={kind: mlp, hidden: 64, dropout: 0, input_dropout: 0}",
            "training={epochs: 150, label_smoothing: 0, patience: 150, validate_every: 150}",
            f"crf={surroundings}",
            "calibration=temperature",
        ],
    )
    graphs = load_graphs(section_run)
    data, _, _ = assemble(section_run, graphs, [graph.annotation for graph in graphs], settings)
    model = make_classifier(settings, data.inputs.shape[1], data.classes.size, torch.device("cpu"))
    model.fit(data, 0)
    found = {}
    for side in ("train", "validation"):
        rows = (data.sides == side) & (data.targets >= 0)
        assert rows.sum() > 50
        found[side] = best_on_a_grid(model.model.probabilities(data)[rows], data.targets[rows])
    assert found["train"] < 0.7 * found["validation"]
    assert model.temperature == pytest.approx(found["validation"], rel=0.02)


@pytest.mark.parametrize("model", ["{kind: lda}", "{kind: mlp, hidden: 16}"])
def test_calibrated_run(section_run, model):
    settings = [f"model={model}", "training={epochs: 15, learning_rate: 0.02}", "n_seeds=1"]
    plain, calibrated = (
        classify_run(section_run, f"calibration-{kind}", load_config(ClassifyConfig, None, [*settings, kind]))
        for kind in ("calibration=none", "calibration=temperature")
    )
    assert plain["macro_f1_unseen"] == calibrated["macro_f1_unseen"]
    folder = section_run / "classify" / "calibration-calibration=temperature"
    record = read_json(folder / "metrics.json")
    temperature = load_state(folder / "seed-0.safetensors")["temperature"][0]
    assert record["calibration"]["temperatures"] == pytest.approx([temperature])
    before = read_json(folder.with_name("calibration-calibration=none") / "metrics.json")["splits"]
    for side, ece in record["calibration"]["ece"].items():
        assert ece["before"] == pytest.approx(before[side]["mean"]["ece"], abs=2e-3)
        assert ece["after"] == pytest.approx(record["splits"][side]["mean"]["ece"], abs=1e-6)
