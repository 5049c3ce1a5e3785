"""Scores of `segment-layers` in the one table: each decoder at its encoder, baselines at the columns of their idea."""

import shutil

import pytest

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.layers import Segmentation, SegmentationConfig
from cytomesh.analyze.evaluate.run import encode, evaluate_run
from cytomesh.analyze.evaluate.task import Bench
from cytomesh.core.errors import ConfigError, DamagedError
from cytomesh.core.files import read_json, write_json
from cytomesh.graph.storage import load_graphs
from tests.analyze.evaluate.conftest import write_features


def scores(f1):
    return {"macro_f1": f1, "boundary_um": [100.0, 200.0], "thickness": {"error_mm": [0.1, 0.3]}}


def write_metrics(run, name="layers", kind="layers"):
    methods = {"good": {"validation": scores(0.99), "seen": scores(0.8), "unseen": scores(0.7)}}
    methods |= {"profiles": {"seen": scores(0.5)}, "depth alone": {"seen": scores(0.4)}}
    write_json(run / "analyze" / name / "metrics.json", {"kind": kind, "methods": methods})


@pytest.fixture
def run(four_brains, tmp_path):
    return shutil.copytree(four_brains, tmp_path / "run")


def settings(**given):
    return EvaluateConfig.model_validate({"tasks": {"layers": given}, "encoders": ["good", "poor"]})


def test_each_decoder_is_scored_at_its_encoder(run):
    write_metrics(run)
    write_features(run, "profiles", 1.0)
    evaluate_run(run, "x", settings().model_copy(update={"encoders": ["good", "poor", "profiles"]}))
    metrics = read_json(run / "analyze" / "x" / "metrics.json")
    rows = {
        (row["split"], row["measure"]): {encoder: score["mean"] for encoder, score in row["scores"].items()}
        for row in metrics["rows"]
    }
    assert {split for split, _ in rows} == {"seen", "unseen"}
    assert rows["seen", "macro_f1"] == {"good": 0.8, "profiles": 0.5, "coordinates": 0.4}
    assert rows["unseen", "macro_f1"] == {"good": 0.7}
    assert rows["seen", "boundary_um"]["good"] == 150 and rows["seen", "thickness_error_mm"]["good"] == 0.2
    assert metrics["notes"] == ["layers: analyze/layers has no decoder on poor"]


def test_other_scores_are_noticed(run):
    write_metrics(run)
    before = evaluate_run(run, "x", settings())
    path = run / "analyze" / "layers" / "metrics.json"
    write_json(path, {"kind": "layers", "methods": {"good": {"seen": scores(0.1)}}})
    after = evaluate_run(run, "x", settings())
    assert before["layers: layers, seen, macro-F1"]["good"] == 0.8
    assert after["layers: layers, seen, macro-F1"] == {"good": 0.1}


def test_what_is_no_result_of_layers_is_said(run):
    bench = Bench(run, load_graphs(run), settings())
    task = Segmentation(SegmentationConfig(of="mine"))
    assert task.why_absent(bench) == "no finished 'cytomesh segment-layers' of the name 'mine'"
    write_metrics(run, "mine", "variation")
    with pytest.raises(ConfigError, match="tasks.layers.of: mine: found a result of kind 'variation'"):
        task.why_absent(bench)
    (run / "analyze" / "mine" / "metrics.json").write_text("[1, 2")
    with pytest.raises(DamagedError, match="metrics.json"):
        task.why_absent(bench)
    write_metrics(run, "mine")
    assert task.why_absent(bench) == "" and task.score(bench, encode(bench, "poor")).notes
    with pytest.raises(ConfigError, match="tasks.layers.of"):
        Segmentation(SegmentationConfig(of="../mine")).why_absent(bench)
