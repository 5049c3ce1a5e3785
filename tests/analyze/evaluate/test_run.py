"""The stage on a run directory: pieces that are kept, the command, and what is not there."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.run import evaluate_run
from cytomesh.core.errors import ConfigError, CytomeshError, MissingStageError, StaleError
from cytomesh.core.files import read_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.provenance import Inputs
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.features import keep_features, load_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.report.status import run_status
from cytomesh.surface.gifti import write_labels
from tests.analyze.evaluate.conftest import write_features

TASKS = {"areas": {}, "few_shot": {"sections": [2]}}


@pytest.fixture
def run(four_brains, tmp_path):
    return shutil.copytree(four_brains, tmp_path / "run")


def settings(**given):
    return EvaluateConfig.model_validate({"tasks": TASKS, "n_seeds": 1, "encoders": ["good"]} | given)


def times(run):
    pieces = run / "analyze" / "x" / "pieces"
    return {f.parent.relative_to(pieces).as_posix(): f.stat().st_mtime_ns for f in pieces.glob("*/*/piece.json")}


def test_the_table_holds_the_means_of_every_number(run):
    found = evaluate_run(run, "x", settings(encoders=[], n_seeds=2))
    folder = run / "analyze" / "x"
    scores, metrics = read_table(folder / "scores.parquet"), read_json(folder / "metrics.json")
    assert metrics["kind"] == "evaluate" and metrics["encoders"] == ["good", "poor", "coordinates"]
    rows = (scores["encoder"] == "poor") & (scores["task"] == "few_shot") & (scores["split"] == "unseen")
    rows &= (scores["measure"] == "macro_f1") & (scores["level"] == 2)
    assert rows.sum() == 2
    label = "few_shot: areas, unseen, macro-F1, 2 annotated sections"
    assert found[label]["poor"] == pytest.approx(scores["value"][rows].mean())
    table = read_table(folder / "table.parquet")
    row = (table["encoder"] == "poor") & (table["task"] == "few_shot") & (table["split"] == "unseen")
    assert table["mean"][row] == pytest.approx(found[label]["poor"])
    assert found["areas: areas, seen, macro-F1"]["good"] > 0.9 > found["areas: areas, seen, macro-F1"]["poor"]
    assert set(read_table(folder / "differences.parquet")["other"]) == {"poor", "coordinates"}
    for figure in ("few_shot", "names"):
        text = (folder / f"{figure}.svg").read_text()
        assert "<svg" in text and "coordinates" in text and "macro-F1" in text


def test_a_further_encoder_or_task_costs_its_own_pieces_only(run):
    evaluate_run(run, "x", settings())
    before = times(run)
    assert before.keys() == {f"{task}/{encoder}" for task in TASKS for encoder in ("good", "coordinates")}
    evaluate_run(run, "x", settings(encoders=["good", "poor"]))
    after = times(run)
    assert {name for name in after if after[name] != before.get(name)} == {f"{task}/poor" for task in TASKS}
    evaluate_run(run, "x", settings(encoders=["good", "poor"], tasks=TASKS | {"few_shot": {"sections": [1]}}))
    last = times(run)
    changed = {name for name in last if last[name] != after.get(name)}
    assert changed == {f"few_shot/{encoder}" for encoder in ("good", "poor", "coordinates")}
    evaluate_run(run, "x", settings(tasks={"areas": {}}))
    assert times(run).keys() == {"areas/good", "areas/coordinates"}
    assert times(run)["areas/good"] == before["areas/good"]


def test_what_was_stopped_goes_on_and_damage_is_mended(run, monkeypatch):
    from cytomesh.analyze.evaluate import run as module

    def stop(*_):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            evaluate_run(run, "x", settings())
    before = times(run)
    whole = evaluate_run(run, "x", settings())
    assert times(run) == before and len(before) == 4
    path = run / "analyze" / "x" / "pieces" / "areas" / "good" / "scores.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    assert evaluate_run(run, "x", settings()) == whole
    assert {name for name, time in times(run).items() if time != before[name]} == {"areas/good"}
    assert evaluate_run(run, "x", settings(), resume=False) == whole
    assert not set(times(run).values()) & set(before.values())


def test_other_features_are_noticed(run):
    graphs = load_graphs(run)
    for graph in graphs:
        keep_features(run, "good", graph, np.array(load_features(run, "good", graph)), {}, Inputs())
    evaluate_run(run, "x", settings())
    assert {status.product: status.state for status in run_status(run)}["analyze/x"] == "done"
    write_features(run, "good", 1.0)
    with pytest.raises(StaleError, match="not as it was written"):
        evaluate_run(run, "x", settings())
    assert {status.product: status.state for status in run_status(run)}["analyze/x"] == "stale"
    before = times(run)
    evaluate_run(run, "x", settings(), allow_stale=True)
    assert {name for name, time in times(run).items() if time != before[name]} == {f"{task}/good" for task in TASKS}


def test_the_command_prints_one_table(run, cytomesh):
    words = ("evaluate", "--out", run, "--set", "encoders=[good]", "--set", "tasks={areas: {}, planes: {}}")
    code, out, said = cytomesh(*words)
    lines = out.splitlines()
    assert "planes: the run has no study" in said
    assert code == 0 and lines[0].split() == ["good", "coordinates"]
    assert len({len(line) for line in lines}) == 1
    code, out, _ = cytomesh(*words, "--json")
    found = json.loads(out)
    assert lines[1].endswith(f"{found['areas: areas, seen, macro-F1']['coordinates']:.3f}")
    notes = read_json(run / "analyze" / "evaluate" / "metrics.json")["notes"]
    assert notes == ["planes: the run has no study that says how its brains were cut, left out"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"probes": {"of": ["stian"]}}, r"tasks.probes.of: stian: .*words or whole numbers.*did you mean 'stain'"),
        ({"probes": {"of": ["thickness_mm"]}}, "tasks.probes.of: thickness_mm: .*there are|did you mean"),
        ({"variation": {"targets": ["thick"]}}, "targets: thick: found no column of numbers"),
        ({"variation": {"targets": ["cells:n"]}}, "no measures of nodes"),
        ({"labels": {"of": {"nets": {"volume": "none.nii"}}}}, "no such volume"),
        ({"labels": {"of": {"nets": {"files": {"B01_hemi-L": "one.label.gii"}}}}}, "nets: found 1 labels at linked"),
        ({"labels": {"of": {"nets": {"files": {"B04_hemi-L": "two.label.gii"}}}}}, "nets: split: train"),
    ],
)
def test_what_cannot_be_asked_stops_before_any_head_is_trained(run, tmp_path, monkeypatch, task, message):
    monkeypatch.chdir(tmp_path)
    n_nodes = load_graphs(run)[0].n_nodes
    for name, labels in (("one", np.ones(n_nodes)), ("two", 1 + np.arange(n_nodes) % 2)):
        table = LabelTable.from_names(["a", "b"])
        write_labels(tmp_path / f"{name}.label.gii", labels.astype(np.int32), table, "L")
    with pytest.raises(CytomeshError, match=message):
        evaluate_run(run, "x", settings(tasks=task | TASKS))
    assert not (run / "analyze" / "x").exists()


def test_one_area_is_no_task(run):
    for graph in load_graphs(run):
        nodes = {**graph.nodes.columns, "annotation": (graph.annotation > 0).astype(np.int32)}
        save_graph(run, replace(graph, nodes=Table(nodes)), {"sphere": graph.mesh}, {})
    write_features(run, "good", 1.0)
    evaluate_run(run, "x", settings(tasks=TASKS | {"variation": {}}))
    notes = read_json(run / "analyze" / "x" / "metrics.json")["notes"]
    assert {"areas: one area is annotated, left out", "few_shot: one area is annotated, left out"} < set(notes)


def test_what_is_not_there_is_named(run, tmp_path):
    with pytest.raises(ConfigError, match=r"expected good or poor. Way out: did you mean 'good'\?"):
        evaluate_run(run, "x", settings(encoders=["goood"]))
    with pytest.raises(ConfigError, match="found planes: the run has no study"):
        evaluate_run(run, "x", settings(tasks={"planes": {}}))
    with pytest.raises(MissingStageError, match="no finished graph"):
        evaluate_run(tmp_path / "empty", "x", settings())
    (run / "features" / "good").rename(run / "features" / "coordinates")
    with pytest.raises(ConfigError, match="name of a baseline"):
        evaluate_run(run, "x", settings(encoders=["coordinates"]))
