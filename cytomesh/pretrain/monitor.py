"""What is written down while training: numbers per step, and whether the vectors still differ."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cytomesh.core.files import write_text

# Vectors of which all pairs are looked at.
MAX_PAIRED = 1024


def feature_spread(vectors: Tensor) -> float:
    """Return the variance 1 - |mean|^2 of unit vectors (n, d): 1 if they point everywhere, 0 if all are the same."""
    return 1.0 - float(vectors.detach().double().mean(dim=0).square().sum())


def effective_rank(vectors: Tensor) -> float:
    """Return exp(entropy) of the normalised singular values of centred vectors (Roy & Vetterli, 2007): 1 to d."""
    centred = vectors.detach().double() - vectors.detach().double().mean(dim=0)
    values = torch.linalg.eigvalsh(centred.T @ centred if len(centred) >= centred.shape[1] else centred @ centred.T)
    share = values.clamp(min=0).sqrt()
    share = share / share.sum().clamp(min=1e-300)
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))


def uniformity(vectors: Tensor) -> float:
    """Return log mean exp(-2 |z_i - z_j|^2) over pairs of unit vectors (n, d): 0 if all are the same, lower is better.

    Wang & Isola, "Understanding contrastive representation learning through alignment and uniformity on the
    hypersphere", ICML 2020, eq. 10, t = 2; of the first 1,024 vectors.
    """
    distance = torch.pdist(vectors.detach()[:MAX_PAIRED].float())
    return float(distance.square().mul(-2.0).exp().mean().log()) if len(distance) else 0.0


def alignment(vectors: Tensor, weights: Tensor) -> float:
    """Return the mean |z_i - z_j|^2 of pairs of unit vectors (n, d), weighed by (n, n) weights that attract them.

    Wang & Isola, 2020, eq. 9, alpha = 2: 0 if all positives coincide. The diagonal does not count.
    """
    weights = weights.double() * (1.0 - torch.eye(len(weights), device=weights.device))
    z = vectors.detach().double()
    similarity = (weights * (z @ z.T)).sum() / weights.sum().clamp(min=1e-300)
    return float(2.0 - 2.0 * similarity) if bool(weights.any()) else 0.0


class MetricsLog:
    """`metrics.jsonl`, one line a report, and TensorBoard events if TensorBoard is installed.

    Parameters
    ----------
    folder : Path
        The encoder's folder.
    step : int
        Step the run goes on from; later lines of an earlier, killed run are cut off.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        write_text(self.path, "".join(line + "\n" for line in self._lines() if json.loads(line)["step"] <= step))
        self._events: Any = None
        if importlib.util.find_spec("tensorboard"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # protobuf's and its own deprecations
                from torch.utils.tensorboard import SummaryWriter

                self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **numbers}) + "\n")
        if self._events is not None:
            for name, value in numbers.items():
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the event file."""
        if self._events is not None:
            self._events.close()

    def _lines(self) -> list[str]:
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")
        return lines[:-1]  # a killed run may leave half a line, without its end


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Return the lines of `metrics.jsonl`."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
