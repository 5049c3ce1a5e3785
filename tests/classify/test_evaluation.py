import numpy as np
import pytest

from cytomesh.classify.assemble import assemble
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.evaluation import baseline_predictions, evaluate, section_interval
from cytomesh.classify.inputs import InputsConfig
from cytomesh.core.learning import macro_f1
from cytomesh.graph.storage import load_graphs


@pytest.fixture(scope="module")
def problem(section_run):
    graphs = load_graphs(section_run)
    data, _, _ = assemble(
        section_run, graphs, [g.annotation for g in graphs], ClassifyConfig(inputs=InputsConfig(names=["thickness"]))
    )
    return data, graphs


def guesses(data, seed, wrong=0.3):
    random = np.random.default_rng(seed)
    named = np.where(random.random(data.targets.size) < wrong, random.integers(0, 6, data.targets.size), data.targets)
    return (0.9 * np.eye(6)[np.maximum(named, 0)] + 0.1 / 6).astype(np.float32)


def test_all_tables(problem):
    data, graphs = problem
    names = [f"area {i}" for i in range(1, 7)]
    result = evaluate(data, graphs, [guesses(data, 0), guesses(data, 1)], names, 0, baseline_predictions(data, graphs))
    seen = result["splits"]["seen"]
    assert list(result["splits"]) == ["seen", "transfer", "unseen"]
    assert [record["seed"] for record in seen["seeds"]] == [0, 1]
    ensemble = seen["ensemble"]
    assert ensemble["interval"]["low"] < ensemble["macro_f1"] < ensemble["interval"]["high"]
    assert ensemble["interval"]["n_sections"] == 4 - 1  # one of the four test sections is missing
    assert 0 < ensemble["error_mm"]["q25"] <= ensemble["error_mm"]["q75"] < 130  # half the circumference
    assert set(ensemble["bins"]) == {"obliqueness", "distance", "thickness"}
    for table in ensemble["bins"].values():
        assert sum(row["n_nodes"] for row in table) == seen["n_nodes"]
        right = sum(row["accuracy"] * row["n_nodes"] for row in table) / seen["n_nodes"]
        assert right == pytest.approx(ensemble["accuracy"])
        assert [row["low"] for row in table] == sorted(row["low"] for row in table)


def test_baselines_know_the_place_only(problem):
    data, graphs = problem
    baselines = baseline_predictions(data, graphs)
    # the synthetic probability maps are right everywhere, and areas lie at the same place in all brains
    np.testing.assert_array_equal(baselines["probability maps"][data.targets >= 0], data.targets[data.targets >= 0])
    rows = data.evaluated("unseen")
    assert macro_f1(data.targets[rows], baselines["coordinates"][rows]) > 0.7


def test_interval_against_resampling_by_loops():
    random = np.random.default_rng(0)
    sections = np.repeat(np.arange(12), 30)
    targets = random.integers(0, 3, 360)
    predicted = np.where(random.random(360) < 0.7, targets, random.integers(0, 3, 360))
    values = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(sections == s) for s in random.integers(0, 12, 12)])
        values.append(macro_f1(targets[rows], predicted[rows]))
    interval = section_interval(sections, targets, predicted, 3, seed=0)
    np.testing.assert_allclose([interval["low"], interval["high"]], np.percentile(values, [2.5, 97.5]), atol=0.01)


def test_no_interval_without_sections():
    assert section_interval(np.full(9, -1), np.zeros(9, int), np.zeros(9, int), 2, 0) is None
