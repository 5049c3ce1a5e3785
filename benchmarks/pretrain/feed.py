"""Pretraining fed from images, against the same loop fed with tensors that are ready.

Claim: at least 90 % as fast. Both train the same network on the same number of patches, in turns: one reads tiles of
OME-Zarr images, which are decoded, resampled and turned, the other hands out a batch that is in memory. One thread
computes and one reads: seconds count if two processors are idle. On a machine with other work, where the reader takes
the time of the thread that computes, the processor seconds a patch tell how many readers would keep up.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Options, Result, main
from benchmarks.pretrain.synthetic import random_pool, synthetic_trainer
from cytomesh.core.distributed import world
from cytomesh.core.parallel import available_cpus
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.patches import PatchSource, SectionReader
from cytomesh.pretrain.pool import PatchPool, SectionPatches
from cytomesh.pretrain.trainer import Trainer
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section

UM_PER_PX = 10.0
COLUMNS = ("fed with", "patches/s, median", "range", "waiting for data", "CPU s a patch", "to ready tensors")


class Ready:
    """A patch source that has read before."""

    def __init__(self, patches: NDArray[np.uint8]) -> None:
        self.patches = patches

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return (n, 1, s, s) uint8."""
        return self.patches[: len(rows)]


def pool_with_images(folder: Path, side_px: int) -> PatchPool:
    """Return the random pool, its sections as images of smooth noise."""
    pool, rng = random_pool(), np.random.default_rng(0)
    coarse = rng.integers(60, 250, (side_px // 8, side_px // 8)).astype(np.uint8)
    image = np.kron(coarse, np.ones((8, 8), np.uint8)) ^ rng.integers(0, 16, (side_px, side_px), np.uint8)
    path = folder / "section.ome.zarr"
    write_ome_zarr(path, image, UM_PER_PX)
    sections = []
    for number in range(int(pool.section.max()) + 1):
        rows = np.flatnonzero(pool.section == number)
        own = folder / f"{number}.ome.zarr"
        own.symlink_to(path)
        plane = SectionPlane(np.array([[0.01, 0, 0], [0, 0, 0], [0, -0.01, 0]]))
        section = Section("B01", number, own, UM_PER_PX, plane)
        pixels = rng.uniform(0.1, 0.9, (len(rows), 2)) * side_px
        sections.append(SectionPatches(section, own, pixels, rng.uniform(0, 360, len(rows)), rows))
    return replace(pool, sections=tuple(sections))


def settings_of(size_px: int, n_images: int) -> PretrainConfig:
    """Return settings of a CPU run with one thread that computes and one that reads."""
    return PretrainConfig.model_validate(
        {
            "encoder": {"name": "resnet18", "in_chans": 1},
            "patches": {"size_px": size_px, "border_px": 8, "um_per_px": UM_PER_PX},
            "augment": {"rotation_deg": 20, "scale": 0.1, "intensity_scale": 0.2},
            "sampling": {"seeds_per_batch": n_images // 4, "neighbours": 3},
            "schedule": {"steps": 10**6, "warmup_steps": 0},
            "log_every": 10**6,
        }
    )


def train(trainer: Trainer, source: PatchSource, first: int, n_steps: int) -> tuple[float, float, float]:
    """Train some steps; return seconds, how many of them were waited for data, and processor seconds."""
    trainer.feed.source = source
    trainer.feed.take_waited()
    report = trainer.open_report()
    start, cpu = time.perf_counter(), time.process_time()
    for batch in trainer.feed.batches(first, first + n_steps):
        trainer.train_step(batch, report)
    return time.perf_counter() - start, trainer.feed.take_waited(), time.process_time() - cpu


def measure(options: Options) -> Result:
    """Train in turns; the quick form takes smaller patches and fewer steps."""
    size_px, n_images, n_steps, rounds = (64, 16, 4, 3) if options.quick else (256, 16, 4, 4)
    settings = settings_of(size_px, n_images)
    with tempfile.TemporaryDirectory() as folder, world("cpu", threads=1) as here:
        pool = pool_with_images(Path(folder), 1024 if options.quick else 8192)
        trainer = synthetic_trainer(settings, here, Path(folder) / "encoder")
        trainer.model.train()
        images = SectionReader(pool, settings.patches)
        ready = Ready(images.read(np.arange(n_images)))
        sources: dict[str, PatchSource] = {"ready tensors": ready, "images": images}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sources}
        for round_ in range(rounds + 1):
            for name, source in sources.items():
                timing = train(trainer, source, round_ * n_steps, n_steps)
                if round_:
                    found[name].append(timing)
    speed = {name: [n_images * n_steps / seconds for seconds, _, _ in times] for name, times in found.items()}
    ratio = float(np.median(speed["images"]) / np.median(speed["ready tensors"]))
    rows: list[list[Any]] = []
    cpu: dict[str, float] = {}
    for name, times in found.items():
        waited = sum(wait for _, wait, _ in times) / sum(seconds for seconds, _, _ in times)
        cpu[name] = float(np.median([own for _, _, own in times])) / (n_images * n_steps)
        rate = float(np.median(speed[name]))
        spread = f"{min(speed[name]):.3g}-{max(speed[name]):.3g}"
        rows.append([name, rate, spread, f"{waited:.0%}", cpu[name], ratio if name == "images" else 1.0])
    reading = cpu["images"] / cpu["ready tensors"] - 1.0
    claim = (
        f"{size_px} px, {n_images} a batch, {available_cpus()} processors: {ratio:.2f} times as fast from images;"
        f" reading takes {reading:.0%} of the processor time of the rest"
    )
    return Result("Feeding the training", COLUMNS, rows, claim, {"torch": torch.__version__})


if __name__ == "__main__":
    main(measure, __doc__)
