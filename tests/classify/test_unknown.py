import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.run import classify_run
from cytomesh.classify.unknown import left_out_labels, unknown_record
from cytomesh.core.config import load_config
from cytomesh.core.counted import counted
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import read_json
from cytomesh.core.labels import LabelTable
from cytomesh.graph.storage import load_graphs
from cytomesh.report.results import read_models
from cytomesh.report.unknown import unknown_part

TABLE = LabelTable.from_names(["V1", "V2", "hOc4v"])


def test_names():
    assert left_out_labels(["hOc4v", "V1"], TABLE).tolist() == [3, 1]
    with pytest.raises(ConfigError, match=r"did you mean 'hOc4v'\?"):
        left_out_labels(["hOc4"], TABLE)


def test_record_node_by_node():
    random = np.random.default_rng(0)
    n = 600
    sides = np.repeat(["train", "validation", "test"], n // 3)
    targets = random.integers(0, 2, n)
    is_left_out = (sides == "test") & (random.random(n) < 0.3)
    targets[is_left_out] = -1
    p = random.uniform(0.5, 1, n) - 0.2 * is_left_out
    named = random.integers(0, 2, n)
    probabilities = np.where(np.arange(2) == named[:, None], p[:, None], 1 - p[:, None]).astype(np.float32)
    distances = random.normal(size=n) + 2 * is_left_out
    data = NodeData(
        np.zeros((n, 1), np.float32), targets, sides, sp.csr_matrix((n, n)), np.array([n]),
        np.array([4, 9], np.int32), np.zeros((n, 3), np.float32),
    )  # fmt: skip
    found = unknown_record(data, is_left_out, probabilities, distances, ["seen", "test"])
    assert list(found) == ["test"]
    known = np.flatnonzero((sides == "test") & ~is_left_out)
    left = np.flatnonzero(is_left_out)
    assert found["test"]["n_known"] == known.size
    assert found["test"]["n_left_out"] == left.size
    confidence_doubt = 1 - probabilities.max(axis=1)
    for name, doubt in (("confidence", confidence_doubt), ("distance", distances)):
        scores = found["test"]["doubts"][name]
        # the chance that a left-out node is doubted more than a known one
        pairs = [(doubt[i] > doubt[j]) + 0.5 * (doubt[i] == doubt[j]) for i in left for j in known]
        assert scores["auroc"] == pytest.approx(np.mean(pairs))
        threshold = np.quantile(doubt[sides == "validation"], 0.95)
        right = [doubt[j] <= threshold and probabilities[j].argmax() == targets[j] for j in known]
        assert scores["right"] == pytest.approx(np.mean(right))
        assert scores["right"] + scores["wrong"] + scores["rejected"] == pytest.approx(1)
        assert scores["left_out_rejected"] == pytest.approx((doubt[left] > threshold).mean())
    assert found["test"]["doubts"]["distance"]["auroc"] > 0.85
    assert found["test"]["doubts"]["either"]["auroc"] > found["test"]["doubts"]["confidence"]["auroc"]


def test_on_a_run(section_run):
    changes = ["model={kind: lda}", "areas.leave_out=[area 2]"]
    classify_run(section_run, "left-out", load_config(ClassifyConfig, None, changes))
    metrics = read_json(section_run / "classify" / "left-out" / "metrics.json")
    assert [entry["area"] for entry in metrics["classes"]] == [f"area {i}" for i in (1, 3, 4, 5, 6)]
    assert metrics["unknown"].keys() == {"seen", "transfer", "unseen"}
    unseen = load_graphs(section_run)[2]
    assert metrics["unknown"]["unseen"]["n_left_out"] == (unseen.annotation == 2).sum()
    assert metrics["splits"]["unseen"]["n_nodes"] == metrics["unknown"]["unseen"]["n_known"]
    assert metrics["unknown"]["unseen"]["doubts"]["confidence"]["auroc"] > 0.55
    html = "".join(map(str, unknown_part(read_models(section_run))))
    assert "Areas left out of the training" in html
    assert "low probability" in html


def test_two_areas_have_to_be_left(section_run):
    for n, left in ((5, 1), (6, 0)):
        names = ", ".join(f"area {i + 1}" for i in range(n))
        settings = load_config(ClassifyConfig, None, ["model={kind: lda}", f"areas.leave_out=[{names}]"])
        with pytest.raises(
            ConfigError, match=f"areas.leave_out: found {counted(left, 'area')} left on the training side"
        ):
            classify_run(section_run, "none", settings)
