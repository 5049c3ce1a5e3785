"""`cytomesh pretrain --benchmark`: how fast a run would train, by how it is fed."""

from __future__ import annotations

import itertools
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from cytomesh.core.digests import file_digests
from cytomesh.core.distributed import World, world
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import track
from cytomesh.pretrain.bank import bank_folder, open_bank
from cytomesh.pretrain.bank_index import is_whole
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.find_bank import find_at_address
from cytomesh.pretrain.job import Data, open_data
from cytomesh.pretrain.patches import PatchSource, SectionReader, images_of
from cytomesh.pretrain.run import new_projector, new_sampler, resolve
from cytomesh.pretrain.trainer import Trainer

WARM_UP = 5
STEPS = 15
NEVER = 10**9


def benchmark_run(run: Path, settings: PretrainConfig) -> dict[str, Any]:
    """Train a few steps with each way of feeding, from the beginning, and keep nothing of it.

    Patches come from the run's bank if there is one, or from that at `patches.bank_address`, else from the images: one
    is not made for this.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    settings : PretrainConfig
        `readers` and `by_section` are varied; the latter under several ranks.

    Returns
    -------
    dict
        `source` ("bank" or "images"), `ranks`, and a row for each way: steps_per_s, data_wait (share of the time, of
        the rank that waits longest), compute_s (a step, of the rank that computes longest), slowest_rank (the one that
        holds up the others: whose own work and wait takes longest).
    """
    data = open_data(run, settings)
    with world(settings.device, settings.threads) as here, tempfile.TemporaryDirectory() as folder:
        settings = resolve(settings, data, here)
        settings = settings.model_copy(
            update={
                "log_every": NEVER,
                "monitor": settings.monitor.model_copy(update={"every_steps": 0}),
                "schedule": settings.schedule.model_copy(update={"steps": NEVER}),
            }
        )
        sampler = new_sampler(data, settings, here)
        bank = _bank(data, settings, here)
        most = max(2, available_cpus())
        readers = [2**i for i in range(most.bit_length()) if 2**i <= most]
        ways = list(itertools.product(readers, [True, False] if here.size > 1 else [settings.by_section]))
        rows: dict[str, dict[str, float]] = {}
        for n, by_section in track(ways, "benchmark", unit="ways"):
            own = settings.model_copy(update={"readers": n, "by_section": by_section})
            pool, config = sampler.pool, settings.patches
            # opened anew: what the way before has left open would count for this one
            source: PatchSource = open_bank(bank, pool, config.cache_dir) if bank else SectionReader(pool, config)
            projector = new_projector(own, pool).to(here.device)
            trainer = Trainer(own, projector, sampler, source, here, Path(folder), "benchmark")
            name = f"readers: {n}" + (f", by_section: {str(by_section).lower()}" if here.size > 1 else "")
            rows[name] = _timed(trainer)
        return {"source": "bank" if bank else "images", "ranks": here.size, **rows}


def _bank(data: Data, settings: PretrainConfig, here: World) -> Path | None:
    """Return the bank of the run on every rank, if it is finished."""
    found = None
    if here.is_main:
        with file_digests(data.run) as digests:
            images = images_of(data.run, data.study, data.graphs, digests)
        if settings.patches.bank_address is not None:
            find_at_address(data.run, data.pool, settings.patches, images, "")
        folder = bank_folder(data.run, settings.patches, images)
        found = folder if is_whole(folder) else None
    return here.given(found)


def _timed(trainer: Trainer) -> dict[str, float]:
    """Train the steps; return what they took over all ranks."""
    here = trainer.world
    trainer.model.train()
    with closing(trainer.open_report()) as report, closing(trainer.feed.batches(0, WARM_UP + STEPS)) as batches:
        own_s = began = 0.0
        for step, batch in enumerate(batches):
            if step == WARM_UP:
                _wait(here)
                trainer.feed.take_waited()
                began, own_s = time.perf_counter(), 0.0
            start = time.process_time()
            trainer.train_step(batch, report)
            own_s += time.process_time() - start
        _wait(here)
        seconds = time.perf_counter() - began
    waited = trainer.feed.take_waited()
    table = torch.zeros(here.size, 3, dtype=torch.float64, device=here.device)
    table[here.rank] = torch.tensor([seconds, waited, own_s], dtype=torch.float64)
    if here.size > 1:
        dist.all_reduce(table)
    seconds = float(table[:, 0].max())
    return {
        "steps_per_s": STEPS / seconds,
        "data_wait": float(table[:, 1].max()) / seconds,
        "compute_s": float((table[:, 0] - table[:, 1]).max()) / STEPS,
        "slowest_rank": float((table[:, 1] + table[:, 2]).argmax()),
    }


def _wait(here: World) -> None:
    """Wait for what the device has been given."""
    if here.device.type == "cuda":
        torch.cuda.synchronize(here.device)
