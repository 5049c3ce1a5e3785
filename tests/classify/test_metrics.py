import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, top_k_accuracy_score

from cytomesh.classify import metrics


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    targets = random.integers(0, 5, 400)
    targets[targets == 3] = 2  # class 3 is not tested
    logits = random.normal(size=(400, 5)) + 1.5 * np.eye(5)[targets]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return targets, probabilities.astype(np.float32)


def test_scores_against_scikit_learn(problem):
    targets, probabilities = problem
    predicted = probabilities.argmax(axis=1)
    hops = np.abs(np.subtract.outer(np.arange(5), np.arange(5))).astype(float)
    result = metrics.scores(targets, probabilities, hops)
    tested = [0, 1, 2, 4]
    assert result["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro", labels=tested))
    recall = [(predicted[targets == c] == c).mean() for c in tested]
    assert result["balanced_accuracy"] == pytest.approx(np.mean(recall))
    assert result["top3"] == pytest.approx(top_k_accuracy_score(targets, probabilities, k=3, labels=range(5)))
    wrong = predicted != targets
    assert result["error_hops"] == pytest.approx(np.abs(predicted - targets)[wrong].mean())
    expected = confusion_matrix(targets, predicted, labels=range(5))
    np.testing.assert_array_equal(metrics.confusion_matrix(targets, predicted, 5), expected)
    assert balanced_accuracy_score(targets[targets != 3], targets[targets != 3]) == 1.0


def test_calibration_by_loops(problem):
    targets, probabilities = problem
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    expected = 0.0
    for i in range(15):
        inside = (confidence >= i / 15) & (confidence < (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert metrics.expected_calibration_error(confidence, right) == pytest.approx(expected, rel=1e-5)


def test_unconnected_areas_are_counted_apart():
    hops = np.array([[0.0, np.inf], [np.inf, 0.0]])
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.1, 0.9]], np.float32)
    targets = np.array([0, 0, 1])
    assert metrics.tables(targets, probabilities, hops, ["a", "b"])["error_distance"] == {
        "0": pytest.approx(2 / 3),
        "unconnected": pytest.approx(1 / 3),
    }
    assert np.isnan(metrics.scores(targets, probabilities, hops)["error_hops"])


def test_mean_and_sd():
    means, deviations = metrics.mean_and_sd([{"f": 1.0}, {"f": 2.0}, {"f": 3.0}])
    assert (means["f"], deviations["f"]) == (2.0, 1.0)
    assert metrics.mean_and_sd([{"f": 1.0}])[1]["f"] == 0.0


def test_reliability_sums_to_the_calibration_error(problem):
    targets, probabilities = problem
    table = metrics.reliability(probabilities, targets)
    assert sum(row["n_nodes"] for row in table) == 400
    ece = sum(row["n_nodes"] * abs(row["accuracy"] - row["confidence"]) for row in table) / 400
    right = probabilities.argmax(axis=1) == targets
    assert ece == pytest.approx(metrics.expected_calibration_error(probabilities.max(axis=1), right), rel=1e-5)


def test_margins_are_those_of_the_logits():
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 0.5, 4.0]])
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    hops = np.abs(np.subtract.outer(np.arange(3), np.arange(3))).astype(float)
    margin = metrics.tables(np.array([0, 0]), probabilities, hops, ["a", "b", "c"])["margin"]
    assert margin == {"0": pytest.approx(2.0, rel=1e-5), "2": pytest.approx(3.5, rel=1e-5)}


@pytest.mark.parametrize("n", [1, 3, 5])
def test_average_is_the_mean_to_the_bit(n):
    drawn = list(np.random.default_rng(0).random((n, 40, 6), np.float32))
    np.testing.assert_array_equal(metrics.average(drawn), np.mean(drawn, axis=0))
