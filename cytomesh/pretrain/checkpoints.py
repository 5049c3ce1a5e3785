"""Checkpoints: whole or absent, the last few kept, damage recognised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cytomesh.core.errors import CheckpointError, FormatError
from cytomesh.core.files import atomic_path
from cytomesh.core.formats import FORMATS, check_format

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
    path = folder / f"step-{checkpoint.step:08d}.pt"
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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_format(path, "checkpoint", content.get("format"))
        weights: dict[str, Any] = content["weights"]
    except FormatError:
        raise
    except Exception as cause:  # see load_checkpoint
        raise CheckpointError(path, found=f"no weights ({type(cause).__name__})", hint=hint) from cause
    if content["key"] != key:
        raise CheckpointError(path, found="weights of other settings", hint=hint)
    return weights


def list_checkpoints(folder: Path) -> list[Path]:
    """Return all checkpoints, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def step_of(path: Path) -> int:
    """Return the number of steps that a checkpoint stands for."""
    return int(path.stem.removeprefix("step-"))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint to CPU tensors; nothing but tensors, numbers, strings and containers is ever unpickled.

    Raises
    ------
    CheckpointError
        If the file is truncated or not a checkpoint.
    FormatError
        If it is of a newer format than this program knows.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        check_format(path, "checkpoint", content.pop("format", None))
        return Checkpoint(**content)
    except FormatError:
        raise
    except Exception as cause:  # torch raises RuntimeError, EOFError, UnpicklingError, ... on damaged files
        before = [other for other in list_checkpoints(path.parent) if other < path]
        back = f"to go on from {before[-1].name}, delete this file" if before else "start again with --no-resume"
        found = f"a truncated or damaged checkpoint ({type(cause).__name__}: {' '.join(str(cause).split())[:120]})"
        raise CheckpointError(path, found=found, hint=back) from cause


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
