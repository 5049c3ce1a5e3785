"""The stage: an encoder that embed and classify take as any other, the same however often it is stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from cytomesh.core.errors import CheckpointError, ConfigError, MissingStageError
from cytomesh.core.progress import speak
from cytomesh.core.provenance import RECORD
from cytomesh.core.run import UNFINISHED
from cytomesh.core.tables import Table
from cytomesh.finetune.run import finetune_run, open_pretrained
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graphs, save_graph
from cytomesh.pretrain.checkpoints import list_checkpoints
from cytomesh.pretrain.export import load_encoder
from cytomesh.pretrain.monitor import read_metrics
from tests.docs.documented import undocumented
from tests.pretrain.pretrain_study import write_run


def last_state(run, name):
    return torch.load(list_checkpoints(run / "encoders" / name / "tuning" / "checkpoints")[-1], weights_only=True)


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_from_pretrained_to_areas_through_the_command_line(run, cytomesh):
    small = ["device=cpu", "threads=1", "model.hidden=8", "sampling.seeds_per_batch=6"]
    overrides = [word for setting in small for word in ("--set", setting)]
    arguments = ["finetune", "--out", run, "--encoder", "start", "--config", "configs/finetune/tiny.yaml", *overrides]
    code, out, err = cytomesh(*arguments, "--name", "joint", "--json")
    assert code == 0, err
    summary = json.loads(out)
    lines = read_metrics(run / "encoders" / "joint" / "tuning")
    assert [line["step"] for line in lines] == [0, 4, 8]
    assert summary["validation_macro_f1"] == max(line["validation_macro_f1"] for line in lines)
    assert summary["validation_macro_f1_first"] == lines[0]["validation_macro_f1"]
    faults = [fault for fault in undocumented(run) if fault.startswith("encoders/")]
    # the encoder to begin with was trained for no step, of which its own files are short
    assert [fault for fault in faults if not fault.startswith("encoders/<name>/summary.json: there is no")] == []
    card = (run / "encoders" / "joint" / "README.md").read_text()
    assert "started from `start`" in card
    assert "spatial_nce" not in card
    assert cytomesh("embed", "--out", run, "--encoder", "joint", "--set", "device=cpu")[0] == 0
    assert all(len(load_features(run, "joint", graph)) == graph.n_nodes for graph in load_graphs(run))
    options = ["--set", "inputs.names=[features:joint]", "--set", "n_seeds=1", "--set", "training.epochs=5"]
    code, out, err = cytomesh("classify", "--out", run, "--name", "gat", "--json", *options)
    assert code == 0, err
    assert json.loads(out)["n_classes"] == summary["n_classes"]


def test_stopped_run_goes_on_exactly_and_a_finished_one_is_kept(run, settings):
    chosen = settings("schedule.encoder_learning_rate=0.01")
    whole = finetune_run(run, "whole", "start", chosen)
    exported = run / "encoders" / "whole" / "model.safetensors"
    weights, last = load_file(exported), last_state(run, "whole")
    start = load_file(run / "encoders" / "start" / "model.safetensors")
    assert any(not torch.equal(last["model"][f"encoder.backbone.{key}"], value) for key, value in start.items())
    written = exported.stat().st_mtime_ns
    assert finetune_run(run, "whole", "start", chosen) == whole
    assert exported.stat().st_mtime_ns == written
    folder = run / "encoders" / "whole" / "tuning"
    (folder.parent / RECORD).rename(folder.parent / UNFINISHED)  # as if killed after the first round
    list_checkpoints(folder / "checkpoints")[-1].unlink()
    again = finetune_run(run, "whole", "start", chosen)
    assert again["validation_macro_f1"] == whole["validation_macro_f1"]
    assert_same(load_file(exported), weights)
    assert_same(last_state(run, "whole")["model"], last["model"])
    assert [line["step"] for line in read_metrics(folder)] == [0, 4, 8]
    with pytest.raises(ConfigError, match=r"finished with other settings.*--overwrite"):
        finetune_run(run, "whole", "start", settings("schedule.rounds=1"))
    other = finetune_run(run, "whole", "start", settings("schedule.rounds=1"), overwrite=True)
    assert other["rounds"] == 1


def test_labels_of_test_sections_and_other_brains_never_matter(run, settings):
    finetune_run(run, "one", "start", settings())
    rng = np.random.default_rng(0)
    for graph in load_graphs(run):
        is_other = (graph.annotation > 0) & ((graph.brain_role != "train") | (graph.section_role == "test"))
        assert is_other.any()
        annotation = graph.annotation.copy()
        annotation[is_other] = rng.permutation(annotation[is_other])
        assert (annotation != graph.annotation).any()
        changed = replace(graph, nodes=Table({**graph.nodes.columns, "annotation": annotation}))
        save_graph(run, changed, {"pial": graph.mesh, "white": graph.mesh}, {})
    finetune_run(run, "two", "start", settings())
    assert_same(last_state(run, "one")["model"], last_state(run, "two")["model"])
    assert last_state(run, "one")["score"] == last_state(run, "two")["score"]


def test_without_a_better_round_the_encoder_is_exported_as_it_was(run, settings):
    summary = finetune_run(run, "still", "start", settings("schedule.rounds=0"))
    assert summary["best_round"] == 0
    exported = load_file(run / "encoders" / "still" / "model.safetensors")
    assert_same(exported, load_file(run / "encoders" / "start" / "model.safetensors"))
    assert "none scored better" in (run / "encoders" / "still" / "README.md").read_text()


def test_settings_of_another_version_tune_the_same(run, settings, capsys):
    finetune_run(run, "one", "start", settings("schedule.rounds=1"))
    path = run / "encoders" / "start" / "config.yaml"
    stored = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**stored, "later": 1, "sampling": {**stored["sampling"], "hardest": 0.5}}))
    speak()
    finetune_run(run, "two", "start", settings("schedule.rounds=1"))
    assert "config.yaml: unknown keys, left out: sampling.hardest, later\n" in capsys.readouterr().err
    assert_same(last_state(run, "one")["model"], last_state(run, "two")["model"])
    stored["patches"]["um_per_px"] *= 2
    path.write_text(yaml.safe_dump(stored))
    with pytest.raises(CheckpointError, match=r"config\.yaml: found patches\.um_per_px"):
        finetune_run(run, "three", "start", settings())


def test_activations_are_computed_again_as_in_pretraining(run):
    path = run / "encoders" / "start" / "config.yaml"
    for is_on in (False, True):
        stored = yaml.safe_load(path.read_text())
        stored["encoder"]["activation_checkpointing"] = is_on
        path.write_text(yaml.safe_dump(stored))
        encoder, _ = open_pretrained(path.parent)
        assert encoder.backbone.grad_checkpointing == is_on  # timm's


def test_perceptron_tunes_without_the_graph(run, settings):
    flat = settings("model={kind: mlp, hidden: 8}", "schedule.rounds=1")
    assert finetune_run(run, "flat", "start", flat)["model"] == "mlp"


def test_encoders_that_cannot_be_used(run, settings):
    with pytest.raises(ConfigError, match="choose another --name"):
        finetune_run(run, "start", "start", settings())
    with pytest.raises(MissingStageError, match="choose one of: start"):
        finetune_run(run, "tuned", "nothing", settings())


def test_colour_images_are_seen_by_a_grey_encoder(run, settings, tmp_path, capsys):
    colour = write_run(tmp_path / "colour", n_channels=3)
    summary = finetune_run(colour, "tuned", str(run / "encoders" / "start"), settings("schedule.rounds=1"))
    assert summary["rounds"] == 1 and "luminance" in capsys.readouterr().err
    assert load_encoder(colour / "encoders" / "tuned").config.in_chans == 1
