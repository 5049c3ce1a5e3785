"""Pretraining as a stage: the same whatever happens in between, and one clear error when it cannot go on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from pretrain_study import write_run, write_template
from safetensors.torch import load_file

from cytomesh.core.config import load_config
from cytomesh.core.errors import CheckpointError, ConfigError, MissingStageError, TrainingError
from cytomesh.core.provenance import RECORD
from cytomesh.core.run import UNFINISHED
from cytomesh.pretrain.checkpoints import list_checkpoints
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.export import load_encoder
from cytomesh.pretrain.monitor import read_metrics
from cytomesh.pretrain.run import pretrain_run
from tests.processes import children, start_program, start_torchrun

TINY = Path(__file__).parents[2] / "configs" / "pretrain" / "tiny.yaml"
SMALL = [
    "device=cpu",
    "threads=1",
    "encoder.name=test_efficientnet",
    "encoder.drop_path_rate=0.1",
    "sampling.seeds_per_batch=4",
    "sampling.radius_mm=12",
    "schedule.warmup_steps=2",
    "log_every=2",
    "checkpoint_every=2",
]


def settings(*overrides: str) -> PretrainConfig:
    return load_config(PretrainConfig, TINY, [*SMALL, "schedule.steps=6", *overrides])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("pretrain"))
    write_template(run)
    return run


@pytest.fixture(scope="module")
def whole(run):
    """Weights of a run that was never stopped."""
    pretrain_run(run, "whole", settings())
    return load_file(run / "encoders" / "whole" / "model.safetensors")


def as_if_killed(folder: Path) -> None:
    """Leave a folder as a kill right before its record was written leaves it."""
    (folder / RECORD).rename(folder / UNFINISHED)


def assert_same(run: Path, name: str, expected: dict[str, torch.Tensor]) -> None:
    found = load_file(run / "encoders" / name / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_summary_files_and_resume(run, whole):
    folder = run / "encoders" / "whole"
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.yaml", "metrics.jsonl", "README.md", "checkpoints", "summary.json"} <= names
    assert [line["step"] for line in read_metrics(folder)] == [2, 4, 6]
    written = (folder / "model.safetensors").stat().st_mtime_ns
    again = pretrain_run(run, "whole", settings("log_every=3"))  # how often to report is not another result
    assert again["steps"] == 6
    assert again["preempted"] == 0
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    encoder = load_encoder(folder)
    assert not encoder.training
    assert encoder.config.in_chans == 1
    assert encoder.embed(torch.zeros((2, 1, 32, 32), dtype=torch.uint8)).shape == (2, again["dim"])


def test_killed_run_resumes_bit_for_bit(run, whole):
    folder = run / "encoders" / "killed"
    overrides = [word for setting in [*SMALL, "schedule.steps=6"] for word in ("--set", setting)]
    command = ("pretrain", "--out", run, "--name", "killed", "--config", TINY, *overrides)
    process = start_program(run / "errors.txt", *command)
    deadline = time.monotonic() + 120
    while not list_checkpoints(folder / "checkpoints") and time.monotonic() < deadline and process.is_alive():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (folder / "model.safetensors").exists()
    step = int(list_checkpoints(folder / "checkpoints")[-1].stem.removeprefix("step-"))
    assert 0 < step < 6
    pretrain_run(run, "killed", settings())
    assert_same(run, "killed", whole)
    assert [line["step"] for line in read_metrics(folder)] == [2, 4, 6]


def test_sigterm_writes_a_checkpoint_and_leaves_with_75(run, cytomesh, monkeypatch):
    from cytomesh.pretrain import trainer

    # SIGTERM arrives while step 3 is being computed
    compute = trainer.batch_loss
    steps = []

    def interrupted(*arguments, **options):
        steps.append(1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(*arguments, **options)

    monkeypatch.setattr(trainer, "batch_loss", interrupted)
    overrides = [word for setting in [*SMALL, "schedule.steps=6"] for word in ("--set", setting)]
    arguments = ["pretrain", "--out", run, "--name", "stopped", "--config", TINY, "--json", *overrides]
    code, out, _ = cytomesh(*arguments)
    assert code == 75
    assert json.loads(out)["preempted"] == 1
    folder = run / "encoders" / "stopped"
    assert list_checkpoints(folder / "checkpoints")[-1].stem == "step-00000003"
    assert not (folder / "model.safetensors").exists()
    code, out, _ = cytomesh(*arguments)
    assert code == 0
    assert json.loads(out)["preempted"] == 0
    whole = pretrain_run(run, "not_stopped", settings())
    assert whole["loss"] == pytest.approx(json.loads(out)["loss"])
    assert_same(run, "stopped", load_file(run / "encoders" / "not_stopped" / "model.safetensors"))


def test_truncated_checkpoint_names_the_file(run, whole):
    pretrain_run(run, "truncated", settings())
    folder = run / "encoders" / "truncated"
    as_if_killed(folder)
    last = list_checkpoints(folder / "checkpoints")[-1]
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"step-00000006\.pt.*step-00000004\.pt"):
        pretrain_run(run, "truncated", settings())
    last.unlink()
    pretrain_run(run, "truncated", settings())
    assert_same(run, "truncated", whole)


def test_other_settings_start_again(run, whole):
    pretrain_run(run, "changed", settings("schedule.steps=2"))
    pretrain_run(run, "changed", settings())
    assert_same(run, "changed", whole)


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(run):
    with pytest.raises(TrainingError, match="finite"):
        pretrain_run(run, "diverged", settings("schedule.learning_rate=1e30", "schedule.warmup_steps=0"))
    folder = run / "encoders" / "diverged"
    assert not (folder / "model.safetensors").exists()
    for path in list_checkpoints(folder / "checkpoints"):
        state = torch.load(path, weights_only=True)["model"]
        assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


def test_the_first_step_that_diverged_is_named_when_it_is_looked_for(run):
    """Nothing is looked at between lines, but before a checkpoint: none is written of a state that is not finite."""
    diverging = ["schedule.learning_rate=1e30", "schedule.warmup_steps=0", "checkpoint_every=5"]
    with pytest.raises(TrainingError) as at_once:
        pretrain_run(run, "looked_at", settings(*diverging, "log_every=1"))
    with pytest.raises(TrainingError) as later:
        pretrain_run(run, "looked_away", settings(*diverging, "log_every=100"))
    assert str(later.value).replace("looked_away", "looked_at") == str(at_once.value)
    assert "step 1: " in str(later.value)
    assert not list_checkpoints(run / "encoders" / "looked_away" / "checkpoints")


def test_collapse_is_reported(run, capfd):
    from cytomesh.core.progress import speak

    speak()
    # everything within reach of everything, no repulsion to speak of: all vectors become the same
    summary = pretrain_run(
        run,
        "collapsed",
        settings(
            "objectives.spatial_nce={sigma_mm: 1000.0, reach_mm: 10000.0, temperature: 50.0}",
            "head.norm=layer",
            "collapse_spread=0.9",
        ),
    )
    assert summary["collapsed"] == 1
    assert "collapse" in capfd.readouterr().err


def test_untrained_baseline_is_exported_the_same_way(run):
    summary = pretrain_run(run, "baseline", settings("schedule.steps=0", "schedule.warmup_steps=0"))
    assert summary["steps"] == 0
    folder = run / "encoders" / "baseline"
    assert "not trained here" in (folder / "README.md").read_text()
    assert not list_checkpoints(folder / "checkpoints")
    load_encoder(folder)


@pytest.mark.parametrize(
    "objectives",
    [
        "{probability_guided: {}}",
        "{supervised_contrastive: {}}",
        "{simclr: {}, spatial_nce: {reach_mm: 18.0}}",
        "{supervised: {}}",
        "{supervised: {}, spatial_nce: {reach_mm: 18.0, distance: geodesic}}",
    ],
)
def test_every_objective_trains(run, objectives):
    name = str(len(objectives))
    summary = pretrain_run(run, name, settings("schedule.steps=2", f"objectives={objectives}", "views=2"))
    assert summary["loss"] > 0


def test_options_train_and_resume_bit_for_bit(run):
    """Moving average, LARS, parts, two views, scores: killed after any step, the run goes on as if it had not been."""
    overrides = [
        "schedule.optimizer=lars",
        "schedule.ema_decay=0.9",
        "schedule.parts=2",
        "views=2",
        "monitor={every_steps: 2, n_nodes: 20, neighbours: 3, export: best}",
    ]
    summary = pretrain_run(run, "options", settings(*overrides))
    lines = read_metrics(run / "encoders" / "options")
    scores = {line["step"]: line["held_out/linear"] for line in lines if "held_out/linear" in line}
    assert sorted(scores) == [2, 4, 6]
    assert summary["held_out_linear"] == max(scores.values())
    assert all({"alignment/spatial_nce", "uniformity"} <= set(line) for line in lines if "loss" in line)
    assert all(0.05 < line["memory_gib"] < 100 for line in lines if "loss" in line)
    folder = run / "encoders" / "options" / "checkpoints"
    best = torch.load(folder / "best.pt", weights_only=True)
    assert best["step"] == summary["best_step"]
    exported = load_file(folder.parent / "model.safetensors")
    assert all(torch.equal(best["weights"][f"encoder.backbone.{name}"], value) for name, value in exported.items())
    # a run killed right after step 4: its folder as it was then
    (folder / "step-00000006.pt").unlink()
    as_if_killed(folder.parent)
    again = pretrain_run(run, "options", settings(*overrides))
    assert_same(run, "options", exported)
    assert again["loss"] == summary["loss"]


def test_early_stop_keeps_the_best(run):
    # a learning rate of next to nothing: no score is better than the first
    overrides = ["schedule.steps=30", "schedule.learning_rate=1e-30", "head.norm=layer", "encoder.name=test_vit"]
    summary = pretrain_run(run, "early", settings(*overrides, "monitor={every_steps: 2, n_nodes: 20, patience: 2}"))
    steps = [line["step"] for line in read_metrics(run / "encoders" / "early")]
    assert max(steps) == 6
    assert summary["best_step"] == 2
    assert summary["preempted"] == 0
    as_if_killed(run / "encoders" / "early")  # before it was finished: nothing is trained again
    again = pretrain_run(run, "early", settings(*overrides, "monitor={every_steps: 2, n_nodes: 20, patience: 2}"))
    assert max(line["step"] for line in read_metrics(run / "encoders" / "early")) == 6
    assert again["best_step"] == 2


@pytest.mark.slow
def test_killed_rank_under_torchrun_is_started_again(run, gloo):
    """SIGKILL of one rank: torchrun stops the other, starts both anew, and the weights are those of a whole run."""
    pretrain_run_ranks = [*SMALL, "schedule.steps=12", "encoder.drop_path_rate=0"]
    whole = load_config(PretrainConfig, TINY, pretrain_run_ranks)
    gloo(pretrain_run, 2, run, "two_ranks", whole)
    folder = run / "encoders" / "one_killed"
    overrides = [word for setting in pretrain_run_ranks for word in ("--set", setting)]
    options = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    options += ["--nproc-per-node", 2, "--max-restarts", 2]
    words = ["pretrain", "--out", run, "--name", "one_killed", "--config", TINY, *overrides]
    errors = run.parent / "errors.txt"
    agent = start_torchrun(errors, options, *words)
    deadline = time.monotonic() + 120
    while not list_checkpoints(folder / "checkpoints") and time.monotonic() < deadline and agent.is_alive():
        time.sleep(0.005)
    first = children(agent)
    assert len(first) == 2, errors.read_text()
    os.kill(first[1], signal.SIGKILL)
    again: set[int] = set()
    while len(again) < 2 and time.monotonic() < deadline and agent.is_alive():
        again |= set(children(agent)) - set(first)
        time.sleep(0.02)
    agent.join(200)
    assert agent.exitcode == 0, errors.read_text()
    assert len(again) == 2
    assert_same(run, "one_killed", load_file(run / "encoders" / "two_ranks" / "model.safetensors"))


def test_stopped_training_is_not_embedded(run):
    folder = run / "encoders" / "half_way"
    pretrain_run(run, "half_way", settings("schedule.steps=2"))
    as_if_killed(folder)
    (folder / "model.safetensors").unlink()  # as SIGTERM leaves it
    with pytest.raises(MissingStageError, match=r"stopped after 2 steps.*pretrain --name half_way"):
        embed_run(run, "half_way", EmbedConfig(device="cpu"))


def test_nothing_within_reach_is_an_error(run):
    with pytest.raises(TrainingError, match="no patch with a partner"):
        pretrain_run(run, "lonely", settings("objectives.spatial_nce.reach_mm=1e-6"))


def test_missing_graphs(tmp_path):
    with pytest.raises(MissingStageError, match="build-graph"):
        pretrain_run(tmp_path, "nothing", settings())


def test_truncated_and_missing_weights(run, whole, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("config.yaml", "model.safetensors"):
        data = (run / "encoders" / "whole" / name).read_bytes()
        (folder / name).write_bytes(data if name == "config.yaml" else data[: len(data) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_encoder(folder)
    with pytest.raises(MissingStageError, match="pretrain"):
        load_encoder(tmp_path / "nothing")


def test_two_ranks_train_like_one_process(run, gloo):
    # without batch statistics and random changes, nothing is left that could differ but the order of sums
    exact = settings(
        "encoder.name=test_vit", "encoder.drop_path_rate=0", "head.norm=layer", "augment={}", "log_every=1"
    )
    pretrain_run(run, "alone", exact)
    gloo(pretrain_run, 2, run, "ranks", exact)
    alone, ranks = (read_metrics(run / "encoders" / name) for name in ("alone", "ranks"))
    assert [line["step"] for line in ranks] == [1, 2, 3, 4, 5, 6]
    for one, two in zip(alone, ranks, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-3)
        for of_the_batch in ("spread", "effective_rank", "uniformity", "alignment/spatial_nce"):
            assert two[of_the_batch] == pytest.approx(one[of_the_batch], rel=1e-3)


def refused(run: Path, folder: Path) -> None:
    """One rank of a run with two seeds a batch; writes the error."""
    with pytest.raises(ConfigError) as error:
        pretrain_run(run, "too_few", settings("sampling.seeds_per_batch=2"))
    (folder / os.environ["RANK"]).write_text(str(error.value))


def test_fewer_seeds_than_ranks_is_one_error_on_all_ranks(run, gloo, tmp_path):
    gloo(refused, 3, run, tmp_path)
    messages = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(messages) == {"0", "1", "2"}
    assert set(messages.values()) == {
        "sampling.seeds_per_batch: found 2 for 3 ranks, expected at least one seed a rank. "
        "Way out: raise it, or start fewer ranks"
    }
    untrained = settings("sampling.seeds_per_batch=2", "schedule.steps=0", "schedule.warmup_steps=0")
    gloo(pretrain_run, 3, run, "untrained_by_three", untrained)  # nothing is drawn


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_one_error(run, whole, cytomesh):
    for command in (["pretrain", "--config", TINY, "--name", "gpu"], ["embed", "--encoder", "whole"]):
        code, _, errors = cytomesh(*command, "--out", run, "--set", "device=cuda")
        assert code == 1
        assert errors.splitlines()[-1].startswith("cytomesh: device: cuda: found no CUDA device")
