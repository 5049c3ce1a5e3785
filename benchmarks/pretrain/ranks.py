"""Two gloo ranks on two cores against one rank on one, and what bytes and arithmetic allow on 64 GPUs.

The first rows are measured: whole training steps of the trainer (resnet18, 64 px), one thread a rank. The other rows
are arithmetic, not measurements: bytes that a step sends, over an assumed link, against the encoder's operations at an
assumed speed. For orientation, the public 3D-PLI code of the same field reports 79 % efficiency from 2 to 32 GPUs:
cited from its publication, not measured here.
"""

from __future__ import annotations

import multiprocessing
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import timm

from benchmarks.common import Options, Result, main
from benchmarks.pretrain.synthetic import synthetic_trainer
from cytomesh.core.distributed import world
from cytomesh.pretrain.config import PretrainConfig

COLUMNS = ("", "images a rank and step", "images/s", "efficiency")
# Assumptions of the arithmetic: ResNet50 at 512 px (2,048 px behind the strided stem), bf16.
OPERATIONS = 3 * 2 * 4.1e9 * (512 / 224) ** 2  # forward and backward, a patch
SPEED = 100e12  # operations a second that a training step sustains on an A100-class GPU (peak 312e12)
LINK = 20e9  # bytes a second and GPU between nodes
PATCHES, DIM = 32, 128


def settings_of(n_images: int) -> PretrainConfig:
    """Return settings of a batch of all ranks."""
    return PretrainConfig.model_validate(
        {
            "encoder": {"name": "resnet18", "in_chans": 1},
            "patches": {"size_px": 64, "border_px": 0},
            "sampling": {"seeds_per_batch": n_images // 2, "neighbours": 1},
            "schedule": {"steps": 10**6, "warmup_steps": 0},
            "log_every": 10**6,
            "device": "cpu",
        }
    )


def rank_main(rank: int, size: int, port: int, n_images: int, n_steps: int, folder: str) -> None:
    """Train some steps; rank 0 writes the seconds of each."""
    import os

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with world("cpu", threads=1) as here:
        trainer = synthetic_trainer(settings_of(n_images), here, Path(folder) / str(rank))
        trainer.model.train()
        report = trainer.open_report()
        batch = trainer.feed.read(0)
        seconds = []
        for _ in range(n_steps + 1):
            here.barrier()
            start = time.perf_counter()
            trainer.train_step(batch, report)
            here.barrier()
            seconds.append(time.perf_counter() - start)
        if here.is_main:
            Path(folder, "seconds").write_text(" ".join(map(str, seconds[1:])))


def run(size: int, n_images: int, n_steps: int) -> float:
    """Return the median seconds of a step on some ranks."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        ranks = [
            context.Process(target=rank_main, args=(rank, size, port, n_images, n_steps, folder))
            for rank in range(size)
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        seconds = sorted(map(float, Path(folder, "seconds").read_text().split()))
    return seconds[len(seconds) // 2]


def on_paper(n_ranks: int, n_parameters: int) -> list[Any]:
    """Return the row of the arithmetic: nothing overlaps, which is the worst case."""
    compute = PATCHES * OPERATIONS / SPEED
    share = (n_ranks - 1) / n_ranks
    vectors = n_ranks * PATCHES * DIM * 4
    gathered = 2 * share * vectors  # all-gather forward, reduce-scatter backward
    gradients = 2 * share * 4 * n_parameters  # all-reduce of DDP
    logits = 3 * 2 * PATCHES * n_ranks * PATCHES * DIM / SPEED
    step = compute + logits + (gathered + gradients) / LINK
    name = f"paper, {n_ranks} GPUs: {gathered / 1e6:.1f} MB vectors, {gradients / 1e6:.0f} MB gradients"
    return [name, PATCHES, n_ranks * PATCHES / step, compute / step]


def measure(options: Options) -> Result:
    """Measure one and two ranks in turns, then do the arithmetic."""
    n_images, n_steps, rounds = (64, 4, 2) if options.quick else (128, 10, 4)
    times: dict[tuple[int, int], list[float]] = {}
    for _ in range(rounds):
        for case in ((1, n_images), (2, 2 * n_images)):
            times.setdefault(case, []).append(run(*case, n_steps))
    rows: list[list[Any]] = []
    speeds = {}
    for (size, n), seconds in times.items():
        median = sorted(seconds)[len(seconds) // 2]
        speeds[size] = n / median
        efficiency = speeds[size] / (size * speeds[1])
        rows.append([f"measured, {size} gloo rank(s) with one thread", n // size, speeds[size], efficiency])
    n_parameters = sum(p.numel() for p in timm.create_model("resnet50", num_classes=0).parameters())
    rows += [on_paper(n, n_parameters) for n in (2, 8, 32, 64)]
    claim = (
        f"two ranks on two cores: {speeds[2] / speeds[1]:.2f} times the images/s of one;"
        f" arithmetic without overlap: {100 * rows[-2][-1]:.0f} % at 32 and {100 * rows[-1][-1]:.0f} % at 64 GPUs"
        " (cited from the field's 3D-PLI code, not measured here: 79 % at 32)"
    )
    return Result("Samples per second over ranks", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
