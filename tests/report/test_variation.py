"""The part on structural variation: there where it has run, and damage costs a line."""

import json

import numpy as np
import pytest

from cytomesh.analyze.config import VariationConfig
from cytomesh.analyze.variation import variation_run
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import save_graph
from cytomesh.report.run import report_run
from cytomesh.report.variation import variation_part
from tests.conftest import sphere_graph


@pytest.fixture
def run(tmp_path):
    graph = sphere_graph()
    save_graph(tmp_path, graph, {}, {})
    features = np.where(graph.is_linked[:, None], graph.positions[:, :2], np.nan).astype(np.float32)
    save_features(tmp_path, "two", graph, features, {})
    given = {"targets": ["ref_x_mm", "obliqueness_deg", "thickness_mm"], "components": [1, 2]}
    variation_run(tmp_path, "structure", VariationConfig.model_validate(given))
    return tmp_path


def test_scores_stand_in_a_table_and_in_curves(run):
    part = variation_part(run)
    assert not part.is_absent
    for text in ("blocks of cortex", "obliqueness_deg", "1.000", "thickness_mm: one value at all nodes, left out"):
        assert text in part.body
    assert part.body.count('"heatmap"') == 1 and "cumulative variance" in part.body
    assert "variation" in report_run(run)["parts"]
    assert 'id="variation"' in (run / "report.html").read_text()


def test_runs_without_it_say_nothing_and_damaged_ones_are_named(run):
    (run / "analyze").rename(run / "elsewhere")
    summary = report_run(run)
    assert "variation" not in [*summary["parts"], *summary["absent"]]
    (run / "elsewhere").rename(run / "analyze")
    path = run / "analyze" / "structure" / "metrics.json"
    record = json.loads(path.read_text())
    for spoilt in ({**record, "components": [1]}, {**record, "folds": {}}):
        path.write_text(json.dumps(spoilt))
        part = variation_part(run)
        assert part.is_absent and "damaged: structure" in part.body
    path.write_text(json.dumps(record))
    importance = run / "analyze" / "structure" / "importance.parquet"
    importance.write_bytes(importance.read_bytes()[:100])
    assert "variation" in report_run(run)["absent"]
    path.write_text("{")
    assert "analyses" in report_run(run)["absent"]
    assert "metrics.json is damaged: structure" in (run / "report.html").read_text()
