"""Machines that leave and join while an encoder is trained: `torchrun --nnodes 1:2`, real agents on the loopback."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pretrain_study import write_run
from safetensors.torch import load_file

from cytomesh.core.config import load_config
from cytomesh.pretrain.checkpoints import list_checkpoints, step_of
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.monitor import read_metrics
from cytomesh.pretrain.run import pretrain_run
from tests.processes import Process, children, free_port, start_torchrun

TINY = Path(__file__).parents[2] / "configs" / "pretrain" / "tiny.yaml"
STEPS = 300
# nothing is left that could differ but the order of sums
EXACT = [
    "device=cpu",
    "threads=1",
    "encoder.name=test_vit",
    "head.norm=layer",
    "augment={}",
    "sampling.seeds_per_batch=4",
    "sampling.radius_mm=12",
    f"schedule.steps={STEPS}",
    "schedule.learning_rate=1e-5",
    "log_every=5",
    "checkpoint_every=5",
    "collapse_spread=0",
]


class Machines:
    """Agents of torchrun, each as if on a machine of its own.

    Parameters
    ----------
    words : sequence
        What their one rank runs.
    folder : Path
        Of what they say.
    """

    def __init__(self, words: list[object], folder: Path) -> None:
        self.words = words
        self.folder = folder
        self.port = free_port()
        self.started: list[Process] = []

    def start(self) -> Process:
        is_host = int(not self.started)
        rendezvous = f"is_host={is_host},last_call_timeout=1,keep_alive_interval=1,keep_alive_max_attempt=2"
        options = ["--nnodes", "1:2", "--nproc-per-node", 1, "--rdzv-backend", "c10d", "--rdzv-id", "elastic"]
        options += ["--rdzv-endpoint", f"127.0.0.1:{self.port}", "--rdzv-conf", rendezvous]
        options += ["--local-addr", "127.0.0.1", "--max-restarts", 3, "--monitor-interval", 0.1]
        errors = self.folder / f"machine-{len(self.started)}.txt"
        machine = start_torchrun(errors, options, *self.words, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
        self.started.append(machine)
        return machine

    def lose(self, machine: Process) -> None:
        """Kill an agent and its ranks at once."""
        for pid in (machine.pid, *children(machine)):
            os.kill(pid, signal.SIGKILL)
        machine.join()

    def said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("machine-*.txt")))


@pytest.fixture
def machines(tmp_path) -> Iterator[Callable[[list[object]], Machines]]:
    made: list[Machines] = []

    def make(words: list[object]) -> Machines:
        made.append(Machines(words, tmp_path))
        return made[-1]

    yield make
    for process in [process for one in made for process in one.started]:
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
            process.join()


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_machines_leave_and_join(tmp_path, machines):
    run = write_run(tmp_path)
    folder = run / "encoders" / "elastic"
    overrides = [word for setting in EXACT for word in ("--set", setting)]
    group = machines(["pretrain", "--out", run, "--name", "elastic", "--config", TINY, *overrides])

    def await_steps(n: int) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done = max((step_of(path) for path in list_checkpoints(folder / "checkpoints")), default=0)
            if done >= n:
                return done
            assert any(process.is_alive() for process in group.started), group.said()
            time.sleep(0.02)
        raise AssertionError(f"{n} steps not reached\n{group.said()}")

    first, second = group.start(), group.start()
    left = await_steps(10)
    group.lose(second)
    await_steps(left + 10)
    third = group.start()
    while first.is_alive() and not children(third):  # has met the first
        time.sleep(0.05)
    await_steps(await_steps(0) + 10)
    first.join(60)
    assert first.exitcode == 0, group.said()  # the others may find it gone before they end
    pretrain_run(run, "alone", load_config(PretrainConfig, TINY, EXACT))
    found, expected = (load_file(run / "encoders" / name / "model.safetensors") for name in ("elastic", "alone"))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    lines = read_metrics(folder)
    assert [line["step"] for line in lines] == list(range(5, STEPS + 1, 5))
