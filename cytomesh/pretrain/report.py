"""Numbers of the steps since the last line of `metrics.jsonl`."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import torch
from torch import Tensor

from cytomesh.core.distributed import World
from cytomesh.core.errors import TrainingError
from cytomesh.core.progress import log
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.loss import LossValue
from cytomesh.pretrain.monitor import MetricsLog, effective_rank, feature_spread, uniformity


class Report:
    """Gather numbers and write a line every `log_every` steps.

    Parameters
    ----------
    settings : PretrainConfig
    folder : Path
        The encoder's folder.
    world : World
        The main rank writes.
    step : int
        Step the run goes on from.
    """

    def __init__(self, settings: PretrainConfig, folder: Path, world: World, step: int) -> None:
        self.settings = settings
        self.folder = folder
        self.world = world
        self.metrics = MetricsLog(folder, step) if world.is_main else None
        self._note = ""
        self._start()

    def _start(self) -> None:
        self.began = time.perf_counter()
        self.losses: list[LossValue] = []
        self.n_images = 0

    def add(self, loss: LossValue, n_images: int) -> None:
        """Take in one step, of so many images of this rank."""
        self.losses.append(loss)
        self.n_images += n_images

    def is_due(self, step: int) -> bool:
        """Return whether a line is to be written after so many steps."""
        return step % self.settings.log_every == 0 or step == self.settings.schedule.steps

    def write(self, step: int, vectors: Tensor, numbers: dict[str, float], waited_s: float) -> None:
        """Write a line.

        Parameters
        ----------
        step : int
            Steps done.
        vectors : (n, d)
            Unit vectors of the batch.
        numbers : dict
            Of the step, to be written as they are.
        waited_s : float
            Seconds since the last line in which there was no data. A GPU may have had work meanwhile: it waited no
            longer than that.

        Raises
        ------
        TrainingError
            If no patch of any batch since the last line had a partner.
        """
        settings, loss = self.settings, self.losses[-1]
        means = {name: _mean([value.mean[name] for value in self.losses]) for name in loss.mean}
        anchors = {name: _mean([value.n_anchors[name] for value in self.losses]) for name in loss.mean}
        if not any(anchors.values()):
            hint = "raise reach_mm, sampling.radius_mm or sampling.neighbours, or give the study more annotations"
            found = f"no patch with a partner in {len(self.losses)} batches"
            raise TrainingError(self.folder, f"step {step}", found=found, hint=hint)
        seconds = time.perf_counter() - self.began
        data_wait = waited_s / len(self.losses)
        n_batch = settings.sampling.batch_size * settings.views
        line = {
            "loss": _mean([value.total for value in self.losses]),
            **{f"loss/{name}": value for name, value in means.items()},
            **{f"anchors/{name}": value / n_batch for name, value in anchors.items()},
            **numbers,
            "spread": feature_spread(vectors),
            "effective_rank": effective_rank(vectors),
            "uniformity": uniformity(vectors),
            "images_per_second": self.n_images * self.world.size / seconds,
            "data_wait_s": data_wait,
            "compute_s": seconds / len(self.losses) - data_wait,
            "memory_gib": self._memory_gib(),
        }
        if self.metrics:
            self.metrics.write(step, line)
            if step > settings.schedule.warmup_steps and line["spread"] < settings.collapse_spread:
                log(
                    f"warning: step {step}: features collapse (spread {line['spread']:.3g}); "
                    "lower the learning rate, or take more neighbours and larger batches"
                )
        self._note = f"{min(1.0, waited_s / seconds):.0%} waiting for data"
        self._start()

    def _memory_gib(self) -> float:
        """Return the most memory that was in use: of the GPU, or of this process."""
        if self.world.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def note(self) -> str:
        """Return what to say beside the progress bar."""
        return self._note

    def add_scores(self, step: int, scores: dict[str, float]) -> None:
        """Write a line of scores on held-out nodes."""
        if self.metrics:
            self.metrics.write(step, {f"held_out/{name}": value for name, value in scores.items()})

    def close(self) -> None:
        """Close the log."""
        if self.metrics:
            self.metrics.close()


def _mean(values: list[Tensor]) -> float:
    return float(torch.stack(values).double().mean())
