"""The training loop: batches in, an encoder out, on one process or on several ranks."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from cytomesh.core.distributed import World
from cytomesh.core.learning import warm_up_cosine
from cytomesh.core.progress import log, track
from cytomesh.core.random import derived_seed, isolated_seed
from cytomesh.pretrain.batch import PatchBatch
from cytomesh.pretrain.checkpoints import Checkpoint, load_best, save_best, save_checkpoint
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.divergence import GRADIENT, Divergence
from cytomesh.pretrain.feed import Feed, RankBatch, step_seed
from cytomesh.pretrain.gather import gather_rows
from cytomesh.pretrain.grad_cache import backward_in_parts
from cytomesh.pretrain.loss import LossValue, Outputs, Term, batch_loss
from cytomesh.pretrain.monitor import MAX_PAIRED, alignment
from cytomesh.pretrain.objectives.base import Contrastive
from cytomesh.pretrain.optimizer import WeightAverage, build_optimizer
from cytomesh.pretrain.patches import PatchSource
from cytomesh.pretrain.probe import Probe
from cytomesh.pretrain.projector import Projector, has_batch_norm, synchronise_batch_norm
from cytomesh.pretrain.report import Report
from cytomesh.pretrain.sampling import PatchSampler
from cytomesh.pretrain.stop import Stop
from cytomesh.pretrain.terms import Terms


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
        on_gpu = world.device.type == "cuda"
        self.settings = settings
        self.projector = projector
        self.world = world
        self.folder = folder
        self.key = key
        self.step = 0
        areas = torch.from_numpy(sampler.pool.areas).to(world.device)
        self.terms = Terms(settings.objectives, areas, sampler.geodesics)
        # CPU ranks normalise each by its own patches, which have to be of the whole cortex
        by_section = settings.by_section and (on_gpu or not has_batch_norm(projector))
        self.feed = Feed(settings, sampler, source, world, by_section=by_section)
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
        watched = [f"a loss ({name})" for name in settings.objectives.named()]
        # the loss scaler leaves out steps whose gradient is not finite, and goes on
        self.divergence = Divergence(watched if self.scaler.is_enabled() else [*watched, GRADIENT], world.device)

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
        data = self.feed.batches(self.step, steps)
        stop = Stop(self.world, settings.log_every)
        with (
            closing(data),
            closing(self.open_report()) as report,
            stop.listening(),
            isolated_seed(settings.seed, "training"),
        ):
            for batch in track(data, "pretrain", total=steps - self.step, unit="steps", note=report.note):
                self.train_step(batch, report)
                is_over = self.step == steps
                if self.probe and (self.step % settings.monitor.every_steps == 0 or is_over):
                    self._score(self.probe, report)
                    is_over |= self._has_stalled()
                is_stopped = stop.is_wanted() and not is_over
                if is_stopped or is_over or self.step % settings.checkpoint_every == 0:
                    self._save()
                if is_stopped:
                    return False
                if is_over:
                    break
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

    def train_step(self, batch: RankBatch, report: Report) -> None:
        """Learn from a batch, which is on the device; but where a line is due, nothing here waits for the device."""
        settings, device, parts = self.settings, self.world.device, self.settings.schedule.parts
        seed = step_seed(settings.seed, self.step, self.world.rank)
        border_px, augment = settings.patches.border_px, self.feed.augment
        images = torch.cat([augment.apply(batch.patches, draws, border_px) for draws in batch.draws])
        pieces = images.tensor_split(min(parts, len(images)))
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
            return batch_loss(outputs, batch.everything, batch.sizes, self.world.rank, terms)

        def backward(value: Tensor) -> None:
            self.scaler.scale(value).backward()  # type: ignore[no-untyped-call]

        if parts == 1:
            outputs = encode(0)
            loss = loss_of(outputs)
            backward(loss.for_backward)
        else:
            loss, outputs = backward_in_parts(self.model, encode, len(pieces), loss_of, backward)
        norm = self._update()
        self.divergence.see(self.step, [*loss.mean.values(), *([] if self.scaler.is_enabled() else [norm])])
        self.step += 1
        report.add(loss, len(images))
        if report.is_due(self.step):
            self.divergence.check(self.folder)
            vectors = gather_rows(directions(outputs), batch.sizes)[batch.places]
            numbers = {
                "learning_rate": rate,
                "gradient_norm": float(norm),
                **alignments(vectors, batch.everything[batch.places[:MAX_PAIRED]], terms),
            }
            report.write(self.step, vectors, numbers, self.feed.take_waited())

    def _update(self) -> Tensor:
        """Step along the clipped gradient; return its norm, () float32."""
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.projector.parameters(), self.settings.schedule.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update(self.step)
        return norm

    def _score(self, probe: Probe, report: Report) -> None:
        """Score the weights that would be exported now; keep them if they are the best."""
        self.divergence.check(self.folder)
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

    def _any_rank(self, flag: bool) -> bool:
        if self.world.size == 1:
            return flag
        votes = torch.tensor([float(flag)], device=self.world.device)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def _save(self) -> None:
        self.divergence.check(self.folder)
        if self.world.is_main:
            states = self.projector.state_dict(), self.optimizer.state_dict(), self.scaler.state_dict()
            average = self.average.state if self.average else {}
            checkpoint = Checkpoint(self.key, self.step, *states, average, self.score)
            save_checkpoint(self.folder / "checkpoints", checkpoint, self.settings.keep_checkpoints)


def alignments(vectors: Tensor, batch: PatchBatch, terms: list[Term]) -> dict[str, float]:
    """Return how near each contrastive objective's positives are, of a batch: the first patches that were drawn."""
    return {
        f"alignment/{term.name}": alignment(vectors[: len(batch)], term.objective.weights(batch, batch))
        for term in terms
        if isinstance(term.objective, Contrastive)
    }


def directions(outputs: Outputs) -> Tensor:
    """Return unit vectors, (n, d), that tell whether patches still differ: those compared, or else the logits'."""
    if outputs.vectors is not None:
        return outputs.vectors.detach()
    assert outputs.logits is not None
    return functional.normalize(outputs.logits.detach().float(), dim=1)
