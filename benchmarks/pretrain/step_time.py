"""A whole training step against the bare encoder, and against lightly's SimCLR with the same encoder; CPU.

Claim: loss, gathering and bookkeeping cost at most 5 % of the encoder's forward and backward pass, and a SimCLR step is
not slower than with lightly's projection head and NTXentLoss. All rows take the same number of images, without random
changes, on one thread and in processor seconds, and turn about: what counts are the ratios. The lightly rows
are left out where it is not installed (`pip install -e ".[bench]"`).
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import Options, Result, Timing, interleave, main
from benchmarks.pretrain.synthetic import synthetic_trainer
from cytomesh.core.distributed import world
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export import build_encoder
from cytomesh.pretrain.optimizer import build_optimizer

CASES = {"resnet18, 128 px, 128 images": ("resnet18", 128, 128), "resnet50, 128 px, 64 images": ("resnet50", 128, 64)}
QUICK = {"resnet18, 64 px, 64 images": ("resnet18", 64, 64)}
COLUMNS = ("", "median CPU s", "range", "to encoder", "to lightly")


def settings_of(model: str, size_px: int, n_images: int, views: int) -> PretrainConfig:
    """Return settings of a step with as many images, in one or two views."""
    objective: dict[str, Any] = {"simclr": {"temperature": 0.1}} if views == 2 else {"spatial_nce": {}}
    return PretrainConfig.model_validate(
        {
            "encoder": {"name": model, "in_chans": 1},
            "head": {"hidden": 512, "out": 128},
            "patches": {"size_px": size_px, "border_px": 0},
            "objectives": objective,
            "views": views,
            "sampling": {
                "seeds_per_batch": n_images // 2,
                "neighbours": 2 - views,
            },
            "schedule": {"steps": 10**6, "warmup_steps": 0},
            "log_every": 10**6,
        }
    )


def lightly_step(settings: PretrainConfig, images: Tensor) -> Callable[[], None]:
    """Return a SimCLR step of lightly: its head and loss, our encoder and optimiser."""
    from lightly.loss import NTXentLoss  # type: ignore[import-not-found]
    from lightly.models.modules import SimCLRProjectionHead  # type: ignore[import-not-found]

    encoder = build_encoder(settings)
    model = nn.Sequential(encoder, SimCLRProjectionHead(encoder.dim, settings.head.hidden, settings.head.out)).train()
    loss_of, optimizer = NTXentLoss(temperature=0.1), build_optimizer(model, settings.schedule)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        first, second = model(images).chunk(2)
        loss = loss_of(first, second)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.schedule.clip_norm)
        optimizer.step()

    return step


def bare_step(settings: PretrainConfig, images: Tensor) -> Callable[[], None]:
    """Return the encoder's forward and backward pass, nothing else."""
    encoder = build_encoder(settings).train()

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        encoder(images).sum().backward()

    return step


def own_step(settings: PretrainConfig, folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a whole step of the trainer, without and with its optimiser's share."""
    with world("cpu", threads=torch.get_num_threads()) as here:
        trainer = synthetic_trainer(settings, here, folder)
    trainer.model.train()
    batch = trainer.feed.read(0)
    report = trainer.open_report()

    def step() -> None:
        trainer.train_step(batch, report)

    def update() -> None:
        trainer.optimizer.step()

    return step, update


def time_case(name: str, case: tuple[str, int, int], rounds: int) -> list[list[Any]]:
    """Return the rows of one encoder."""
    model, size_px, n_images = case
    one, two = (settings_of(model, size_px, n_images, views) for views in (1, 2))
    images = torch.randn((n_images, 1, size_px, size_px), generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        spatial, update = own_step(one, Path(folder) / "one")
        steps: dict[str, Callable[[], None]] = {
            "encoder alone": bare_step(one, images),
            "SpatialNCE step": spatial,
            "optimiser alone": update,
            "SimCLR step": own_step(two, Path(folder) / "two")[0],
        }
        if importlib.util.find_spec("lightly"):
            steps["SimCLR step, lightly"] = lightly_step(two, images)
        times = interleave(steps, rounds, time.process_time)
    encoder = times["encoder alone"].median
    peer = times.get("SimCLR step, lightly")
    rows = [_row(f"{name}: {step}", timing, encoder, peer) for step, timing in times.items()]
    rest = times["SpatialNCE step"].median - times["optimiser alone"].median
    return [*rows, [f"{name}: SpatialNCE step less optimiser", rest, "", rest / encoder, ""]]


def _row(name: str, timing: Timing, encoder: float, peer: Timing | None) -> list[Any]:
    spread = f"{min(timing.seconds):.3g}-{max(timing.seconds):.3g}"
    to_peer = timing.median / peer.median if peer and "SimCLR" in name else ""
    return [name, timing.median, spread, timing.median / encoder, to_peer]


def measure(options: Options) -> Result:
    """Time every case; the quick form takes one small one."""
    torch.set_num_threads(1)
    rows: list[list[Any]] = []
    for name, case in (QUICK if options.quick else CASES).items():
        rows += time_case(name, case, 5 if options.quick else 7)
    ratios = {row[0]: row[3] for row in rows if "less optimiser" in row[0]}
    claim = "; ".join(f"{name.split(':')[0]}: {ratio:.2f}x the encoder" for name, ratio in ratios.items())
    peers = {row[0]: row[4] for row in rows if row[0].endswith(": SimCLR step") and row[4]}
    claim += "".join(f"; SimCLR {ratio:.2f}x the time of lightly's" for ratio in peers.values())
    return Result("One training step", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
