"""The training loop: batches in, an encoder out, on one process or on several ranks."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from cytomesh.core.distributed import World
from cytomesh.core.errors import TrainingError
from cytomesh.core.learning import warm_up_cosine
from cytomesh.core.parallel import map_ahead
from cytomesh.core.progress import log, track
from cytomesh.core.random import derived_seed, isolated_seed
from cytomesh.imaging.augment import Augmentation
from cytomesh.pretrain.batch import PatchBatch, concatenate
from cytomesh.pretrain.checkpoints import Checkpoint, load_best, save_best, save_checkpoint
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import Projector, synchronise_batch_norm
from cytomesh.pretrain.grad_cache import backward_in_parts
from cytomesh.pretrain.loss import LossValue, Outputs, Term, batch_loss
from cytomesh.pretrain.monitor import MAX_PAIRED, alignment
from cytomesh.pretrain.objectives.base import Contrastive
from cytomesh.pretrain.optimizer import WeightAverage, build_optimizer
from cytomesh.pretrain.patches import PatchSource, crop
from cytomesh.pretrain.probe import Probe
from cytomesh.pretrain.report import Report
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
        decay = settings.schedule.ema_decay
        self.average = WeightAverage(projector, decay) if decay else None
        self.probe = Probe(sampler.pool, source, settings, world) if settings.monitor.every_steps else None
        self.score: dict[str, float] = {}
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=self.dtype == torch.float16)
        self.model: nn.Module = projector
        if world.size > 1:
            if on_gpu:
                self.model = synchronise_batch_norm(projector)
            self.model = DistributedDataParallel(self.model, device_ids=[world.device.index] if on_gpu else None)
        if settings.compile:
            self.model.compile()  # in place: DDP stays DDP

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.projector.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.scaler.load_state_dict(checkpoint.scaler)
        self.score = dict(checkpoint.score)
        if self.average:
            self.average.load(checkpoint.average)
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
        if self._has_stalled():  # killed between its last checkpoint and the export
            return True
        self.model.train()
        report = self.open_report()
        data = map_ahead(self.read, range(self.step, steps), settings.readers)
        with _termination() as terminated, isolated_seed(settings.seed, "training"):
            try:
                for batch in track(data, "pretrain", total=steps - self.step, unit="steps"):
                    self.train_step(batch, report)
                    every = settings.monitor.every_steps
                    if self.probe and (self.step % every == 0 or self.step == steps):
                        self._score(self.probe, report)
                    is_over = self._has_stalled() or self.step == steps
                    is_stopped = self._any_rank(terminated.is_set()) and not is_over
                    if is_stopped or is_over or self.step % settings.checkpoint_every == 0:
                        self._save()
                    if is_stopped:
                        return False
                    if is_over:
                        break
            finally:
                report.close()
                data.close()
        return True

    def settle(self) -> None:
        """Take the weights to export: the last, their moving average, or those with the best score."""
        if self.settings.monitor.export == "best":
            self.projector.load_state_dict(load_best(self.folder / "checkpoints", self.key))
        else:
            self.projector.load_state_dict(self._weights())

    def _weights(self) -> dict[str, Any]:
        return self.average.state if self.average else self.projector.state_dict()

    def open_report(self) -> Report:
        """Return the record of the coming steps."""
        return Report(self.settings, self.folder, self.world, self.step)

    def read(self, step: int) -> RankBatch:
        """Return this rank's data of a step."""
        rows = self.sampler.rank_rows(step, self.world.size)
        return RankBatch(self.source.read(rows[self.world.rank]), tuple(self.sampler.pool.batch(part) for part in rows))

    def train_step(self, batch: RankBatch, report: Report) -> None:
        """Learn from a batch."""
        settings, device, parts = self.settings, self.world.device, self.settings.schedule.parts
        seed = derived_seed(settings.seed, "step", self.step, self.world.rank)
        draw = torch.Generator().manual_seed(seed)
        patches = torch.from_numpy(batch.patches).to(device, non_blocking=True)
        images = torch.cat(
            [crop(self.augment(patches, draw), settings.patches.border_px) for _ in range(settings.views)]
        )
        pieces = images.tensor_split(min(parts, len(images)))
        batches = [concatenate([part] * settings.views).to(device) for part in batch.batches]
        terms = self.terms.at(self.step / settings.schedule.steps)
        course = settings.schedule
        rate = warm_up_cosine(self.step, course.steps, course.warmup_steps, course.learning_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)

        def encode(part: int) -> Outputs:
            torch.manual_seed(seed if parts == 1 else derived_seed(seed, "part", part))  # dropout, stochastic depth
            with torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                return Outputs(*self.model(pieces[part]))

        def loss_of(outputs: Outputs) -> LossValue:
            loss = batch_loss(outputs, batches, self.world.rank, terms)
            self._check(loss.mean)
            return loss

        def backward(value: Tensor) -> None:
            self.scaler.scale(value).backward()  # type: ignore[no-untyped-call]

        if parts == 1:
            outputs = encode(0)
            loss = loss_of(outputs)
            backward(loss.for_backward)
        else:
            loss, outputs = backward_in_parts(self.model, encode, len(pieces), loss_of, backward)
        norm = self._update()
        self.step += 1
        vectors = directions(outputs)
        numbers = {"learning_rate": float(self.optimizer.param_groups[0]["lr"]), "gradient_norm": norm}
        if self.step % settings.log_every == 0 or self.step == settings.schedule.steps:
            numbers |= alignments(vectors, batches[self.world.rank], terms)
        report.add(self.step, loss, vectors, numbers, len(images))

    def _update(self) -> float:
        """Step along the clipped gradient; return its norm."""
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.projector.parameters(), self.settings.schedule.clip_norm))
        if not math.isfinite(norm) and not self.scaler.is_enabled():  # the scaler leaves out such steps, and goes on
            raise self._failure(f"a gradient that is {norm}")
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.step)
        return norm

    def _score(self, probe: Probe, report: Report) -> None:
        """Score the weights that would be exported now; keep them if they are the best."""
        prefix = "encoder."
        weights = self._weights()
        encoder = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        scores = probe.scores(self.projector.encoder, encoder)
        report.add_scores(self.step, scores)
        value = scores["linear"]
        if value > self.score.get("best", -math.inf):
            self.score = {"best": value, "best_step": self.step, "since": 0}
            if self.world.is_main:
                save_best(self.folder / "checkpoints", self.key, self.step, weights)
        else:
            self.score["since"] += 1

    def _has_stalled(self) -> bool:
        patience = self.settings.monitor.patience
        has_stalled = bool(patience) and self.score.get("since", 0) >= patience
        if has_stalled and self.world.is_main:
            log(f"no better score since step {self.score['best_step']:.0f}: stopped at step {self.step}")
        return self._any_rank(has_stalled) if patience else False

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
            average = self.average.state if self.average else {}
            checkpoint = Checkpoint(self.key, self.step, *states, average, self.score)
            save_checkpoint(self.folder / "checkpoints", checkpoint, self.settings.keep_checkpoints)


def alignments(vectors: Tensor, batch: PatchBatch, terms: list[Term]) -> dict[str, float]:
    """Return how near each contrastive objective's positives are, of the first patches of a rank."""
    n = min(len(vectors), MAX_PAIRED)
    return {
        f"alignment/{term.name}": alignment(vectors[:n], term.objective.weights(batch[:n], batch[:n]))
        for term in terms
        if isinstance(term.objective, Contrastive)
    }


def directions(outputs: Outputs) -> Tensor:
    """Return unit vectors, (n, d), that tell whether patches still differ: those compared, or else the logits'."""
    if outputs.vectors is not None:
        return outputs.vectors.detach()
    assert outputs.logits is not None
    return functional.normalize(outputs.logits.detach().float(), dim=1)


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
