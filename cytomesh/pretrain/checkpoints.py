"""Checkpoints: whole or absent, the last few kept, damage recognised."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cytomesh.core.errors import CheckpointError
from cytomesh.core.files import atomic_path
from cytomesh.core.formats import FORMATS, check_format
from cytomesh.core.reading import reading

BEST = "best.pt"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run needs to go on as if it had not stopped.

    All random numbers of a step (batch, augmentation, dropout) are functions of the seed, the step and the rank, so
    the step stands for the states of all generators and of the sampler.

    Parameters
    ----------
    key : str
        Identity of settings and data; another key is another run.
    step : int
        Steps done.
    model, optimizer, scaler : dict
        State dictionaries.
    average : dict
        Moving average of the model's weights; empty without one.
    score : dict
        `best` score, its `best_step`, and how many scores `since` were not better; empty without scores.
    """

    key: str
    step: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    average: dict[str, Any]
    score: dict[str, float]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `step-<n>.pt` and remove all but the last `keep` checkpoints."""
    path = path_of(folder, checkpoint.step)
    content = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    with atomic_path(path) as temporary:
        torch.save({"format": FORMATS["checkpoint"], **content}, temporary)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def save_best(folder: Path, key: str, step: int, weights: dict[str, Any]) -> None:
    """Write the weights with the best score so far as `best.pt`."""
    with atomic_path(folder / BEST) as temporary:
        torch.save({"format": FORMATS["checkpoint"], "key": key, "step": step, "weights": weights}, temporary)


def load_best(folder: Path, key: str) -> dict[str, Any]:
    """Return the weights with the best score.

    Raises
    ------
    CheckpointError
        If there are none of this run, or the file is damaged.
    FormatError
        If the file is of a newer format than this program knows.
    """
    path = folder / BEST
    hint = "start again with --no-resume"
    with reading(path, CheckpointError, found="no weights", hint=hint):
        content = _load(path)
        weights: dict[str, Any] = content["weights"]
        _check_weights(weights)
        is_same = content["key"] == key
    if not is_same:
        raise CheckpointError(path, found="weights of other settings", hint=hint)
    return weights


def list_checkpoints(folder: Path) -> list[Path]:
    """Return all checkpoints, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def step_of(path: Path) -> int:
    """Return the number of steps that a checkpoint stands for."""
    return int(path.stem.removeprefix("step-"))


def path_of(folder: Path, step: int) -> Path:
    """Return the file of the checkpoint after so many steps."""
    return folder / f"step-{step:08d}.pt"


def go_on(folder: Path, key: str, restore: Callable[[Checkpoint], None]) -> Checkpoint | None:
    """Restore a training from its last checkpoint, if there is one (see `load_last`); return it.

    Raises
    ------
    CheckpointError
        If it does not fit what is trained, too.
    """
    checkpoint = load_last(folder, key)
    if checkpoint:
        with reading(path_of(folder, checkpoint.step), CheckpointError, hint="start again with --no-resume"):
            restore(checkpoint)
    return checkpoint


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint to CPU tensors; nothing but tensors, numbers, strings and containers is ever unpickled.

    Raises
    ------
    CheckpointError
        If the file is truncated, not a checkpoint, not of the step in its name, or if its weights are not finite.
    FormatError
        If it is of a newer format than this program knows.
    """
    before = [other for other in list_checkpoints(path.parent) if other < path]
    back = f"to go on from {before[-1].name}, delete this file" if before else "start again with --no-resume"
    with reading(path, CheckpointError, found="a truncated or damaged checkpoint", hint=back):
        content = _load(path)
        content.pop("format", None)
        checkpoint = Checkpoint(**content)
        _check_weights(checkpoint.model)
        if type(checkpoint.step) is not int or path != path_of(path.parent, checkpoint.step):
            raise ValueError(f"step {checkpoint.step!r:.40} in a file of this name")
        if not all(isinstance(part, dict) for part in (checkpoint.optimizer, checkpoint.scaler, checkpoint.average)):
            raise TypeError("states that are no dictionaries")
        if not all(math.isfinite(value) for value in checkpoint.score.values()):
            raise ValueError(f"score {checkpoint.score}")
        return checkpoint


def _load(path: Path) -> dict[str, Any]:
    """Unpickle a file whose checksums are right: torch does not compare them."""
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    check_format(path, "checkpoint", content.get("format"))
    return content


def _check_weights(weights: dict[str, Any]) -> None:
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is no tensor")
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{name} has values that are not finite")


def load_last(folder: Path, key: str) -> Checkpoint | None:
    """Return the last checkpoint of the run with this key; None if there is none.

    Raises
    ------
    CheckpointError
        If the last one is damaged: going on from an older one is the user's decision.
    """
    paths = list_checkpoints(folder)
    if not paths:
        return None
    checkpoint = load_checkpoint(paths[-1])
    return checkpoint if checkpoint.key == key else None
