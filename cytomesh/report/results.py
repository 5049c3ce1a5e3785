"""What classification and parcellation left behind, read into small values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import read_json

SIDES = ("seen", "transfer", "unseen", "test")


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and SD over repetitions; SD is None for a single one."""

    mean: float
    sd: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if self.sd is None else f"{self.mean:.3f} ± {self.sd:.3f}"


@dataclass(frozen=True, slots=True)
class SideScores:
    """Scores of a model on one side of the split.

    Parameters
    ----------
    n_nodes : int
        Nodes that are scored.
    measures : dict of str to Spread
        `macro_f1`, `balanced_accuracy`, `top3`, `ece`, ... over seeds.
    areas : list of dict
        Per area: area, support, precision, recall, f1.
    confusion : (k, k) float64
        Numbers of nodes; rows are annotated, columns predicted areas, in the order of `areas`.
    error_distance : dict of str to float
        Share of nodes by distance (areas to cross) between annotated and predicted area; "0" is right.
    null : Spread or None
        Macro-F1 with labels rotated on the sphere.
    null_p : float or None
        Share of rotations that score as well.
    """

    n_nodes: int
    measures: dict[str, Spread]
    areas: list[dict[str, Any]]
    confusion: NDArray[np.float64]
    error_distance: dict[str, float]
    null: Spread | None
    null_p: float | None


@dataclass(frozen=True, slots=True)
class Model:
    """One classification of the run.

    Parameters
    ----------
    sides : dict of str to SideScores
        By evaluation side, in the order of `SIDES`.
    curves : list of list of dict
        One a seed: epoch, loss and, at validations, validation_macro_f1.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    n_train: int
    sides: dict[str, SideScores]
    curves: list[list[dict[str, float]]]
    notes: tuple[str, ...]


def read_models(run: Path) -> list[Model]:
    """Read every `classify/<name>/metrics.json` of a run, sorted by name."""
    return [_model(path.parent.name, read_json(path)) for path in sorted((run / "classify").glob("*/metrics.json"))]


def read_parcellations(run: Path) -> dict[str, dict[str, Any]]:
    """Read every `parcellate/<name>/metrics.json` of a run, by name."""
    return {path.parent.name: read_json(path) for path in sorted((run / "parcellate").glob("*/metrics.json"))}


def _model(name: str, record: Mapping[str, Any]) -> Model:
    nulls = record.get("null", {})
    splits = record["splits"]
    return Model(
        name=name,
        kind=record.get("model", ""),
        inputs=tuple(record.get("inputs", ())),
        n_train=int(record.get("n_train", 0)),
        sides={side: _side(splits[side], nulls.get(side, {})) for side in SIDES if side in splits},
        curves=[curve["epochs"] for curve in record.get("curves", [])],
        notes=tuple(record.get("notes", ())),
    )


def _side(split: Mapping[str, Any], null: Mapping[str, Any]) -> SideScores:
    is_repeated = len(split["seeds"]) > 1
    measures = {
        key: Spread(value, split["sd"][key] if is_repeated else None)
        for key, value in split["mean"].items()
        if value is not None
    }
    return SideScores(
        n_nodes=split["n_nodes"],
        measures=measures,
        areas=split["ensemble"]["per_class"],
        confusion=np.asarray(split["ensemble"]["confusion"], np.float64),
        error_distance=split["ensemble"]["error_distance"],
        null=Spread(null["mean"], null["sd"]) if null else None,
        null_p=null.get("p"),
    )
