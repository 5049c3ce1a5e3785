"""How fast training would be: on the run itself, alone and under torchrun, and nothing of it is kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pretrain_study import write_run

from cytomesh.core.config import load_config
from cytomesh.pretrain import speed
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.run import pretrain_run

TINY = Path(__file__).parents[2] / "configs" / "pretrain" / "tiny.yaml"
SMALL = ["device=cpu", "threads=1", "sampling.seeds_per_batch=4", "sampling.radius_mm=12"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "available_cpus", lambda: 1)
    monkeypatch.setattr(speed, "STEPS", 4)
    return write_run(tmp_path)


def contents(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.name not in ("digests.json", "log.txt")}


def test_ways_of_feeding_are_timed_and_nothing_is_kept(run, cytomesh):
    overrides = [word for setting in SMALL for word in ("--set", setting)]
    arguments = ["pretrain", "--out", run, "--name", "never", "--config", TINY, *overrides, "--benchmark"]
    before = contents(run)
    code, out, errors = cytomesh(*arguments, "--json")
    assert code == 0, errors
    found = json.loads(out)
    assert found["source"] == "images"
    assert {name for name, row in found.items() if isinstance(row, dict)} == {"readers: 1", "readers: 2"}
    for row in (found["readers: 1"], found["readers: 2"]):
        assert row["steps_per_s"] > 0 and 0 <= row["data_wait"] <= 1 and row["slowest_rank"] == 0
        assert row["compute_s"] <= 1.001 / row["steps_per_s"]
    assert not (run / "encoders").exists()
    assert {name for name in contents(run) - before if "lock" not in name} == set()
    code, out, _ = cytomesh(*arguments)
    assert code == 0
    assert "steps_per_s" in out and "readers: 2" in out


def benchmark_on_rank(run: Path, folder: Path, overrides: list[str]) -> None:
    speed.WARM_UP, speed.STEPS = 1, 2
    found = speed.benchmark_run(run, load_config(PretrainConfig, TINY, overrides))
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(found))


def test_ranks_say_the_same_of_each_way(run, gloo, tmp_path):
    """Of patches that were extracted before, too."""
    pretrain_run(run, "one", load_config(PretrainConfig, TINY, [*SMALL, "schedule.steps=2", "schedule.warmup_steps=0"]))
    gloo(benchmark_on_rank, 2, run, tmp_path, [*SMALL, "encoder.name=test_vit", "head.norm=layer"])
    one, other = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert one == other
    assert one["source"] == "bank" and one["ranks"] == 2
    assert "readers: 1, by_section: true" in one and "readers: 1, by_section: false" in one
