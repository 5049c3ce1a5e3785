"""The part that sets encoders side by side: there where it has run, and damage costs a line."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.run import evaluate_run
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import save_graph
from cytomesh.report.evaluate import evaluate_part
from cytomesh.report.run import report_run
from tests.conftest import sphere_graph


@pytest.fixture
def run(tmp_path):
    graph = sphere_graph()
    unseen = replace(graph, brain="B02", brain_role="unseen")
    for number, own in enumerate((graph, unseen)):
        save_graph(tmp_path, own, {}, {})
        noise = np.random.default_rng(number).normal(size=(graph.n_nodes, 3))
        features = np.where(graph.is_linked[:, None], graph.positions / 50 + 0.2 * noise, np.nan)
        save_features(tmp_path, "vit", own, features.astype(np.float32), {})
    given = {"tasks": {"areas": {}, "few_shot": {"sections": [1, 4]}, "planes": {}}, "n_seeds": 2}
    evaluate_run(tmp_path, "side", EvaluateConfig.model_validate(given))
    return tmp_path


def test_scores_stand_in_a_table_in_curves_and_in_pairs(run):
    part = evaluate_part(run)
    assert not part.is_absent
    for text in ("coordinates", "annotated sections", "no study that says how its brains were cut", " to ", "AUROC"):
        assert text in part.body
    assert "evaluate" in report_run(run)["parts"]
    assert 'id="evaluate"' in (run / "report.html").read_text()


def test_layers_are_explained_and_many_differences_are_folded(run):
    path = run / "analyze" / "side" / "metrics.json"
    record = json.loads(path.read_text())
    before = evaluate_part(run).body
    assert "depth alone" not in before and "differences between encoders" not in before
    record["rows"].append(record["rows"][0] | {"task": "layers", "target": "layers"})
    record["differences"] *= 13
    path.write_text(json.dumps(record))
    after = evaluate_part(run).body
    assert "coordinates stand for depth alone" in after
    assert f"{len(record['differences'])} differences between encoders" in after


def test_damaged_ones_are_named(run):
    path = run / "analyze" / "side" / "metrics.json"
    record = json.loads(path.read_text())
    row = {**record["rows"][0]}
    for spoilt in (
        {**record, "encoders": ["coordinates"]},
        {**record, "rows": [{key: value for key, value in row.items() if key != "split"}]},
        {**record, "differences": [{}]},
    ):
        path.write_text(json.dumps(spoilt))
        part = evaluate_part(run)
        assert part.is_absent and "damaged: side" in part.body
