import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError, FeatureError, MissingStageError, SplitError
from cytomesh.core.files import read_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.provenance import RECORD
from cytomesh.core.run import UNFINISHED
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.storage import load_graphs
from cytomesh.surface.gifti import read_labels
from cytomesh.surface.mesh import Mesh

PRESETS = Path(__file__).parents[2] / "configs" / "classify"
SMALL = ["n_seeds=2", "training.epochs=30", "training.learning_rate=0.02"]


def settings(preset, *overrides):
    networks = SMALL if "gat" in preset or "mlp" in preset else []
    return load_config(ClassifyConfig, PRESETS / f"{preset}.yaml", [*networks, *overrides])


@pytest.fixture
def run(section_run, tmp_path):
    shutil.copytree(section_run, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("preset", ["linear", "neighbour_lda", "mlp", "gat", "gat_plus", "gat_edges", "gat_large"])
def test_every_section_preset_runs_and_learns(run, preset):
    summary = classify_run(run, preset, settings(preset))
    sides, n_seeds = ("seen", "transfer", "unseen"), len(list((run / "classify" / preset).glob("seed-*.safetensors")))
    assert {f"{key}_{side}" for side in sides for key in ("macro_f1", "n_nodes", "n_areas")} <= set(summary)
    assert {f"macro_f1_{side}_sd" in summary for side in sides} == {n_seeds > 1}  # one training has no spread
    floor = {"linear": 0.4, "mlp": 0.4}.get(preset, 0.6)  # chance is 1/6; context helps against the noise
    assert summary["macro_f1_unseen"] > floor
    metrics = read_json(run / "classify" / preset / "metrics.json")
    seen = metrics["splits"]["seen"]
    assert len(seen["ensemble"]["per_class"]) == len(metrics["classes"]) == 6
    assert np.sum(seen["ensemble"]["confusion"]) == seen["n_nodes"]
    assert {"macro_f1", "balanced_accuracy", "top3", "ece", "error_hops"} <= set(seen["mean"])
    for graph in load_graphs(run):
        labels, _ = read_labels(run / "classify" / preset / f"{graph.name}.label.gii")
        assert labels.shape == (graph.n_nodes,)
        assert (labels > 0).all()
        assert len(read_table(run / "classify" / preset / "predictions" / f"{graph.name}.parquet")) == graph.n_nodes


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("bigbrain_*.yaml")))
def test_every_hemisphere_preset_runs(hemisphere_run, preset):
    summary = classify_run(hemisphere_run, preset, settings(preset, "areas.min_nodes=1"))
    assert summary["macro_f1_test"] > 0.4


@pytest.mark.parametrize("preset", ["gat", "gat_edges", "neighbour_lda"])
def test_inputs_on_disk_give_the_same_scores(run, preset):
    small = ["n_seeds=1", "training.epochs=5", "training.part_nodes=500"]
    whole = classify_run(run, "whole", settings(preset, *small))
    parts = classify_run(run, "parts", settings(preset, *small, "inputs.memory_gib=0"))
    for name, value in whole.items():
        if name != "seconds":
            assert parts[name] == pytest.approx(value, abs=1e-9)
    assert not (run / "classify" / "parts" / "inputs").exists()


@pytest.mark.parametrize(
    ("preset", "message"),
    [("gat", "training.part_nodes"), ("knn", "choose a network or lda"), ("linear", "model.kind")],
)
def test_models_that_want_everything_in_memory_say_so(run, preset, message):
    with pytest.raises(ConfigError, match=message):
        classify_run(run, preset, settings(preset, "inputs.memory_gib=0"))


@pytest.mark.parametrize(
    "choice",
    [
        "training.loss={kind: focal}",
        "training.loss={kind: logit_adjustment}",
        "training.soft_labels=0.3",
        "training.parts_per_step=1",
    ],
)
def test_every_way_of_training_learns(run, choice):
    summary = classify_run(run, "way", settings("gat", "n_seeds=1", "training.part_nodes=300", choice))
    assert summary["macro_f1_unseen"] > 0.6


def test_same_seed_same_metrics(run):
    first, second = (read_metrics(run, name, settings("gat")) for name in ("one", "two"))
    assert first == second
    assert read_metrics(run, "three", settings("gat", "seed=5"))["splits"] != first["splits"]


def read_metrics(run, name, chosen):
    classify_run(run, name, chosen)
    metrics = read_json(run / "classify" / name / "metrics.json")
    return {key: value for key, value in metrics.items() if key not in ("seconds", "name", "key")}


def test_resume_keeps_finished_pieces(run):
    chosen = settings("mlp")
    folder = run / "classify" / "mlp"
    summary = classify_run(run, "mlp", chosen)
    weights = folder / "seed-0.safetensors"
    written = weights.stat().st_mtime_ns
    assert classify_run(run, "mlp", chosen) == summary
    (folder / RECORD).rename(folder / UNFINISHED)  # killed before the end: trainings stay, the rest is made again
    (folder / "seed-1.curve.json").unlink()
    again = classify_run(run, "mlp", chosen)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in summary.items() if k != "seconds"}
    assert weights.stat().st_mtime_ns == written
    classify_run(run, "mlp", settings("mlp", "model.hidden=8"))
    assert weights.stat().st_mtime_ns != written


def test_changed_labels_are_done_again(synthetic, run):
    chosen = settings("linear")
    before = classify_run(run, "linear", chosen)
    graph = load_graphs(run)[0]
    labels = np.where(graph.annotation == 1, 2, graph.annotation).astype(np.int32)
    synthetic.save(run, synthetic.change(graph, annotation=labels), synthetic.features(graph))
    assert classify_run(run, "linear", chosen)["n_classes"] == before["n_classes"] - 1


def test_spin_null(hemisphere_run):
    summary = classify_run(
        hemisphere_run, "null", settings("bigbrain_neighbour_lda", "null.spins=3", "areas.min_nodes=1")
    )
    assert summary["null_test"] < summary["macro_f1_test"]
    null = read_json(hemisphere_run / "classify" / "null" / "metrics.json")["null"]["test"]
    assert len(null["spins"]) == 3
    assert null["p"] == pytest.approx(1 / 4)


def test_a_null_without_spheres_is_refused_before_training(run):
    name = load_graphs(run)[1].name
    (run / "graphs" / name / "sphere.surf.gii").unlink()
    with pytest.raises(MissingStageError, match=f"{name}.*no sphere.*cytomesh register --out {run}"):
        classify_run(run, "null", settings("linear", "null.spins=3"))
    assert not list((run / "classify" / "null").glob("seed-*"))


def test_labels_without_overlap_are_refused_before_training(synthetic, run):
    for graph in load_graphs(run):
        is_train = graph.brain_role == "train"
        kept = graph.annotation <= 3 if is_train else graph.annotation > 3
        synthetic.save(run, synthetic.change(graph, annotation=np.where(kept, graph.annotation, 0).astype(np.int32)))
    found = (
        "split: transfer: found no node of a trained area: area 4; area 5; area 6, expected areas of the training side:"
    )
    with pytest.raises(SplitError, match=found):
        classify_run(run, "none", settings("linear"))
    assert not list((run / "classify" / "none").glob("seed-*"))


def test_areas_that_are_named_by_their_side_are_said(synthetic, tmp_path):
    for i, side in enumerate("LR"):
        names = [f"7Networks_{s}H_Vis_{k}" for s in "LR" for k in range(1, 7)]
        graph = synthetic.graph("B01", side, subdivisions=2, with_pmap=False)
        features, shifted = synthetic.features(graph), graph.annotation + 6 * i * (graph.annotation > 0)
        graph = replace(graph, labels=LabelTable.from_names(names))
        synthetic.save(tmp_path, synthetic.change(graph, annotation=shifted.astype(np.int32)), features)
    words = "7Networks_RH_Vis_1; .* of the training side: 7Networks_LH_Vis_1; .*named by their side: give areas of both"
    with pytest.raises(SplitError, match=words):
        classify_run(tmp_path, "none", settings("linear", "split={kind: hemisphere}"))


def test_isolated_nodes_and_two_components(synthetic, run):
    graph = load_graphs(run)[0]
    # a second, unlabelled sphere without image links: nothing to fill its features in from
    n = graph.n_nodes
    mesh = Mesh(
        np.vstack([graph.mesh.vertices, graph.mesh.vertices + 200]), np.vstack([graph.mesh.faces, graph.mesh.faces + n])
    )
    columns = {
        name: sp.vstack([column, column], format="csr") if sp.issparse(column) else np.concatenate([column, column])
        for name, column in graph.nodes.columns.items()
    }
    for name, value in (("annotation", 0), ("section", -1), ("section_role", "none"), ("is_linked", False)):
        columns[name][n:] = value
    for name in ("x_mm", "y_mm", "z_mm"):
        columns[name][n:] += 200
    doubled = replace(graph, mesh=mesh, nodes=Table(columns))
    synthetic.save(run, doubled)
    classify_run(run, "gat", settings("gat"))
    notes = read_json(run / "classify" / "gat" / "metrics.json")["notes"]
    assert any(f"out of reach at {n} nodes" in note for note in notes)


def test_features_all_nan_at_a_section(run):
    graph = load_graphs(run)[0]
    path = run / "features" / "cnn" / f"{graph.name}.npy"
    values = np.load(path)
    values[graph.section == 3] = np.nan
    np.save(path, values)
    with pytest.raises(FeatureError, match="section 3"):
        classify_run(run, "gat", settings("gat"))
    assert not (run / "classify" / "gat" / "metrics.json").exists()


def test_empty_split_leaves_what_was_written(run):
    classify_run(run, "linear", settings("linear"))
    with pytest.raises(SplitError, match=r"split\.test: found no hemisphere R in this run, expected among L\. Way out"):
        classify_run(run, "linear", settings("linear", "split={kind: hemisphere}"))
    assert json.loads((run / "classify" / "linear" / "metrics.json").read_text())["model"] == "logistic"


def test_proportions_of_the_training_side(hemisphere_run):
    shares = {}
    for name, choice in (("as-found", "free"), ("in-proportion", "training")):
        chosen = settings("bigbrain_disc_gat", f"label_shift={choice}", "areas.min_nodes=1", "inputs.hops=[0, 2]")
        summary = classify_run(hemisphere_run, name, chosen)
        assert summary["macro_f1_test"] > 0.5
        left, right = load_graphs(hemisphere_run)
        named = read_table(hemisphere_run / "classify" / name / "predictions" / f"{right.name}.parquet")["area"]
        truth = np.bincount(left.annotation[left.annotation > 0], minlength=7) / (left.annotation > 0).sum()
        shares[name] = np.abs(np.bincount(named[right.is_linked], minlength=7) / right.is_linked.sum() - truth).max()
    assert shares["in-proportion"] <= shares["as-found"]
    assert shares["in-proportion"] < 0.03


@pytest.mark.parametrize("name", ["metrics.json", "predictions/*.parquet"])
def test_a_broken_result_does_not_count_as_finished(run, name):
    """Also where its size has stayed."""
    chosen = settings("linear")
    found = classify_run(run, "linear", chosen)
    path = next((run / "classify" / "linear").glob(name))
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + bytes(4) + whole[54:])
    again = classify_run(run, "linear", chosen)
    assert path.read_bytes()[50:54] == whole[50:54]
    assert {key: value for key, value in again.items() if key != "seconds"} == {
        key: value for key, value in found.items() if key != "seconds"
    }
