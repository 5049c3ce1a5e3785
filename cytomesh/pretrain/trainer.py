"""The training loop: batches in, an encoder out, on one process or on several ranks."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from cytomesh.core.distributed import World
from cytomesh.core.errors import TrainingError
from cytomesh.core.progress import log, track
from cytomesh.core.random import derived_seed
from cytomesh.imaging.augment import Augmentation
from cytomesh.pretrain.batch import PatchBatch, concatenate
from cytomesh.pretrain.checkpoints import Checkpoint, save_checkpoint
from cytomesh.pretrain.config import PretrainConfig, ScheduleConfig
from cytomesh.pretrain.encoder import Projector
from cytomesh.pretrain.loss import LossValue, Outputs, batch_loss
from cytomesh.pretrain.monitor import MetricsLog, effective_rank, feature_spread
from cytomesh.pretrain.patches import PatchSource, read_ahead
from cytomesh.pretrain.sampling import PatchSampler
from cytomesh.pretrain.terms import Terms


@dataclass(frozen=True, slots=True)
class RankBatch:
    """One step's data of one rank.

    Parameters
    ----------
    patches : (b, c, s, s) uint8
        This rank's patches, with their border.
    batches : tuple of PatchBatch
        What is known of the patches of every rank, one view.
    """

    patches: NDArray[np.uint8]
    batches: tuple[PatchBatch, ...]


class Trainer:
    """Train a projector by the objectives of the settings.

    Random numbers are functions of (seed, step, rank): a resumed run equals one that was not stopped, on a CPU bit for
    bit. Batches do not depend on the number of ranks, the loss is exact over all of them, batch norm is synchronised on
    GPUs; on CPU ranks it normalises by each rank's own patches and keeps the running statistics of rank 0.

    Parameters
    ----------
    settings : PretrainConfig
    projector : Projector
        On the device of `world`.
    sampler : PatchSampler
    source : PatchSource
    world : World
    folder : Path
        The encoder's folder: `metrics.jsonl`, `checkpoints/`.
    key : str
        Identity of settings and data.
    """

    def __init__(
        self,
        settings: PretrainConfig,
        projector: Projector,
        sampler: PatchSampler,
        source: PatchSource,
        world: World,
        folder: Path,
        key: str,
    ) -> None:
        self.settings = settings
        self.projector = projector
        self.sampler = sampler
        self.source = source
        self.world = world
        self.folder = folder
        self.key = key
        self.step = 0
        self.terms = Terms(settings.objectives, torch.from_numpy(sampler.pool.areas), sampler.geodesics)
        self.augment = Augmentation(settings.augment)
        on_gpu = world.device.type == "cuda"
        self.dtype = getattr(torch, settings.precision) if on_gpu else torch.float32
        self.optimizer = build_optimizer(projector, settings.schedule)
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.dtype == torch.float16)
        self.model: nn.Module = projector
        if world.size > 1:
            if on_gpu:
                self.model = nn.SyncBatchNorm.convert_sync_batchnorm(projector)  # type: ignore[no-untyped-call]
            self.model = DistributedDataParallel(self.model, device_ids=[world.device.index] if on_gpu else None)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.projector.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scaler.load_state_dict(checkpoint.scaler)
        self.step = checkpoint.step

    def train(self) -> bool:
        """Train to the last step; return False if SIGTERM stopped it, after writing a checkpoint.

        Raises
        ------
        TrainingError
            If the loss or its gradient is not finite, or no patch of a report's batches has a partner. The last
            checkpoint stays: it is older than the step that failed.
        """
        settings, steps = self.settings, self.settings.schedule.steps
        self.model.train()
        report = Report(self, MetricsLog(self.folder, self.step) if self.world.is_main else None)
        data = read_ahead(self._read, self.step, steps, settings.readers)
        with _termination() as terminated:
            try:
                for batch in track(data, "pretrain", total=steps - self.step, unit="steps"):
                    loss, vectors, norm = self._train_step(batch)
                    self.step += 1
                    report.add(loss, vectors, norm, len(batch.patches))
                    is_stopped = self._any_rank(terminated.is_set()) and self.step < steps
                    if is_stopped or self.step % settings.checkpoint_every == 0 or self.step == steps:
                        self._save()
                    if is_stopped:
                        return False
            finally:
                report.close()
                data.close()
        return True

    def _read(self, step: int) -> RankBatch:
        rows = self.sampler.rank_rows(step, self.world.size)
        return RankBatch(self.source.read(rows[self.world.rank]), tuple(self.sampler.pool.batch(part) for part in rows))

    def _train_step(self, batch: RankBatch) -> tuple[LossValue, Tensor, float]:
        settings, device = self.settings, self.world.device
        seed = derived_seed(settings.seed, "step", self.step, self.world.rank)
        torch.manual_seed(seed)  # dropout and stochastic depth
        draw = torch.Generator().manual_seed(seed)
        patches = torch.from_numpy(batch.patches).to(device, non_blocking=True)
        images = torch.cat(
            [crop(self.augment(patches, draw), settings.patches.border_px) for _ in range(settings.views)]
        )
        batches = [concatenate([part] * settings.views).to(device) for part in batch.batches]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, settings.schedule)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            outputs = Outputs(*self.model(images))
        loss = batch_loss(outputs, batches, self.world.rank, self.terms.at(self.step / settings.schedule.steps))
        self._check(loss.mean)
        self.scaler.scale(loss.for_backward).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.projector.parameters(), settings.schedule.clip_norm))
        if not math.isfinite(norm) and not self.scaler.is_enabled():  # the scaler leaves out such steps, and goes on
            raise self._failure(f"a gradient that is {norm}")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss, directions(outputs), norm

    def _check(self, means: dict[str, Tensor]) -> None:
        for name, value in means.items():  # the same on all ranks: all raise, none waits
            if not math.isfinite(float(value)):
                raise self._failure(f"a loss ({name}) that is {float(value)}")

    def _failure(self, found: str) -> TrainingError:
        hint = "lower schedule.learning_rate, or raise the temperature; the checkpoints hold the last good state"
        return TrainingError(self.folder, f"step {self.step}", found=found, expected="finite numbers", hint=hint)

    def _any_rank(self, flag: bool) -> bool:
        if self.world.size == 1:
            return flag
        votes = torch.tensor([float(flag)], device=self.world.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def _save(self) -> None:
        if self.world.is_main:
            states = self.projector.state_dict(), self.optimizer.state_dict(), self.scaler.state_dict()
            checkpoint = Checkpoint(self.key, self.step, *states)
            save_checkpoint(self.folder / "checkpoints", checkpoint, self.settings.keep_checkpoints)


class Report:
    """Numbers of the steps since the last line of `metrics.jsonl`."""

    def __init__(self, trainer: Trainer, metrics: MetricsLog | None) -> None:
        self.trainer = trainer
        self.metrics = metrics
        self._start()

    def _start(self) -> None:
        self.began = time.perf_counter()
        self.losses: list[LossValue] = []
        self.n_images = 0

    def add(self, loss: LossValue, vectors: Tensor, norm: float, n_patches: int) -> None:
        """Take in one step; write a line if it is time."""
        trainer = self.trainer
        settings = trainer.settings
        self.losses.append(loss)
        self.n_images += n_patches * settings.views
        if trainer.step % settings.log_every and trainer.step != settings.schedule.steps:
            return
        terms = trainer.terms.at(trainer.step / settings.schedule.steps)
        means = {term.name: _mean([value.mean[term.name] for value in self.losses]) for term in terms}
        anchors = {term.name: _mean([value.n_anchors[term.name] for value in self.losses]) for term in terms}
        if not any(anchors.values()):
            hint = "raise reach_mm, sampling.radius_mm or sampling.neighbours, or give the study more annotations"
            found = f"no patch with a partner in {len(self.losses)} batches"
            raise TrainingError(trainer.folder, f"step {trainer.step}", found=found, hint=hint)
        seconds = time.perf_counter() - self.began
        n_batch = settings.sampling.batch_size * settings.views
        numbers = {
            "loss": sum(term.weight * means[term.name] for term in terms),
            **{f"loss/{name}": value for name, value in means.items()},
            **{f"anchors/{name}": value / n_batch for name, value in anchors.items()},
            "learning_rate": float(trainer.optimizer.param_groups[0]["lr"]),
            "gradient_norm": norm,
            "spread": feature_spread(vectors),
            "effective_rank": effective_rank(vectors),
            "images_per_second": self.n_images * trainer.world.size / seconds,
        }
        if trainer.world.device.type == "cuda":
            numbers["memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        if self.metrics:
            self.metrics.write(trainer.step, numbers)
            if trainer.step > settings.schedule.warmup_steps and numbers["spread"] < settings.collapse_spread:
                log(
                    f"warning: step {trainer.step}: features collapse (spread {numbers['spread']:.3g}); "
                    "lower the learning rate, or take more neighbours and larger batches"
                )
        self._start()

    def close(self) -> None:
        """Close the log."""
        if self.metrics:
            self.metrics.close()


def build_optimizer(model: nn.Module, config: ScheduleConfig) -> torch.optim.Optimizer:
    """AdamW; vectors and scalars (biases, norms) are not decayed."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, config: ScheduleConfig) -> float:
    """Linear warm-up, then half a cosine to 0 (Loshchilov & Hutter, 2017, eq. 5, without restarts)."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def directions(outputs: Outputs) -> Tensor:
    """Return unit vectors, (n, d), that tell whether patches still differ: those compared, or else the logits'."""
    if outputs.vectors is not None:
        return outputs.vectors.detach()
    assert outputs.logits is not None
    return functional.normalize(outputs.logits.detach().float(), dim=1)


def crop(images: Tensor, border_px: int) -> Tensor:
    """Cut the border off."""
    return images[..., border_px : images.shape[-2] - border_px, border_px : images.shape[-1] - border_px]


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack(values).double().mean())


@contextmanager
def _termination() -> Iterator[threading.Event]:
    """Note SIGTERM (Slurm's pre-emption) instead of dying from it; only the main thread can."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        event.set()

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
