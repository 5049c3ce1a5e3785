"""What classification and parcellation left behind, read into small values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.folds import FoldsConfig
from cytomesh.core.files import read_object
from cytomesh.core.progress import log
from cytomesh.core.run import finished_folders, product_folders
from cytomesh.page.html import Html, not_shown

T = TypeVar("T")
PREDICTION = "prediction.json"
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
    interval : (float, float) or None
        95 % confidence interval of macro-F1, from sections drawn with replacement.
    baselines : dict of str to float
        Macro-F1 of what needs no image: coordinates alone, probability maps alone, registered areas alone.
    baseline_nulls : dict of str to Spread
        Of these that learn from labels, with labels rotated.
    beyond_prior : dict of str to float
        What images change in the answers of the registered areas: difference of macro-F1, low and high, and numbers of
        nodes right, wrong and changed; empty without a registration.
    error_mm : dict of str to float
        Distance along the surface from wrongly named nodes to the area they were taken for: median, q25, q75.
    reliability : list of dict
        One per bin of confidence: confidence, accuracy, n_nodes.
    bins : dict of str to list of dict
        Scores by fifths of obliqueness, link distance, thickness: low, high, macro_f1, n_nodes.
    """

    n_nodes: int
    measures: dict[str, Spread]
    areas: list[dict[str, Any]]
    confusion: NDArray[np.float64]
    error_distance: dict[str, float]
    null: Spread | None
    null_p: float | None
    interval: tuple[float, float] | None
    baselines: dict[str, float]
    baseline_nulls: dict[str, Spread]
    beyond_prior: dict[str, float]
    error_mm: dict[str, float]
    reliability: list[dict[str, float]]
    bins: dict[str, list[dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Model:
    """One classification of the run.

    Parameters
    ----------
    sides : dict of str to SideScores
        By evaluation side, in the order of `SIDES`.
    curves : list of list of dict
        One per seed: epoch, loss and, at validations, validation_macro_f1.
    unknown : dict
        By side, how far doubt betrays areas that were left out of the training (see `unknown_record`).
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    n_train: int
    sides: dict[str, SideScores]
    curves: list[list[dict[str, float]]]
    notes: tuple[str, ...]
    unknown: Mapping[str, Any]

    @property
    def mean_macro_f1(self) -> float:
        """Mean over the evaluation sides."""
        return float(np.mean([side.measures["macro_f1"].mean for side in self.sides.values()]))


def read_models(run: Path) -> list[Model]:
    """Read `classify/<name>/metrics.json` of every finished classification of a run, sorted by name."""
    return list(_readable(run, "classify", _model).values())


def read_parcellations(run: Path) -> dict[str, Mapping[str, Any]]:
    """Read `parcellate/<name>/metrics.json` of every finished parcellation of a run, by name."""
    return _readable(run, "parcellate", _parcellation)


def read_predictions(run: Path) -> dict[str, Mapping[str, Any]]:
    """Read `classify/<name>/prediction.json` of every finished `classify-predict` of a run, by name."""
    return _readable(run, "classify", _prediction, file=PREDICTION)


def analysis_kinds(run: Path) -> dict[str, str]:
    """Return of which kind each analysis is ("variation"), by its name; "" of those whose `metrics.json` is damaged."""
    # its first version did not say so
    kinds = _readable(run, "analyze", lambda _, record: str(record.get("kind", "variation")))
    return {folder.name: kinds.get(folder.name, "") for folder in finished_folders(run, "analyze")}


def read_analyses(run: Path, kind: str, check: Callable[[str, Mapping[str, Any]], T]) -> dict[str, T]:
    """Read the analyses of one kind by name, each checked."""
    names = [name for name, found in analysis_kinds(run).items() if found == kind]
    return _readable(run, "analyze", check, names)


def read_variations(run: Path) -> dict[str, Mapping[str, Any]]:
    """Read what `cytomesh variation` has left, by name."""
    return read_analyses(run, "variation", _variation)


def read_inspections(run: Path) -> dict[str, Mapping[str, Any]]:
    """Read what `cytomesh inspect` has left, by name."""
    return read_analyses(run, "inspect", check_inspection)


def check_inspection(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record of `cytomesh inspect` if what pages show of it is there; else raise KeyError."""
    needed = {"features", "centred", "n_nodes", "map", "separation", "similarity", "correspondence", "saliency"}
    scored = all({"silhouette", "accuracy", "chance"} <= scores.keys() for scores in record["separation"].values())
    if needed - record.keys() or not scored or not {"method", "colour_by", "colours"} <= record["map"].keys():
        raise KeyError(f"{name}: incomplete record")
    return {**record, "notes": [str(note) for note in record["notes"]]}


def damage_notes(run: Path, stage: str, shown: Collection[str], kind: str = "") -> list[Html]:
    """Return a line for each of a stage's results, or of one kind of analysis, whose `metrics.json` is damaged."""
    names = [path.parent.name for path in _metrics(run, stage)]
    if kind:
        names = [name for name, found in analysis_kinds(run).items() if found == kind]
    return [not_shown(f"Not shown, since its metrics.json is damaged: {name}.") for name in names if name not in shown]


def unfinished_notes(run: Path, stage: str) -> list[Html]:
    """Return a line for each of a stage's results that was begun, and has never been finished."""
    finished = finished_folders(run, stage)
    begun = [folder.name for folder in product_folders(run, stage) if folder not in finished]
    return [not_shown(f"Not shown, since it is not finished ('cytomesh status' says why): {name}.") for name in begun]


def _metrics(run: Path, stage: str, file: str = "metrics.json") -> list[Path]:
    paths = [folder / file for folder in finished_folders(run, stage)]
    return [path for path in paths if path.is_file()]


def _readable(
    run: Path,
    stage: str,
    read: Callable[[str, Mapping[str, Any]], T],
    names: Collection[str] | None = None,
    file: str = "metrics.json",
) -> dict[str, T]:
    """Read a stage's finished results by name; a damaged one is logged and left out, so that the others are shown."""
    results = {}
    for path in _metrics(run, stage, file):
        if names is not None and path.parent.name not in names:
            continue
        try:
            results[path.parent.name] = read(path.parent.name, read_object(path))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            log(f"left out of the report: {path}: {type(error).__name__}: {error}")
    return results


def _variation(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    for features, targets in record["features"].items():
        for target, scores in targets.items():
            if len(scores["r2"]) != len(record["components"]) or not scores.keys() >= {"location", "beyond_location"}:
                raise KeyError(f"{name}: incomplete scores of {features}, {target}")
    FoldsConfig(kind=record["folds"]["kind"])
    return {**record, "notes": [str(note) for note in record["notes"]]}


def _parcellation(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    missing_areas = [graph for graph, metrics in record["graphs"].items() if "areas" not in metrics]
    if missing_areas:
        raise KeyError(f"{name}: no scores for {', '.join(missing_areas)}")
    return record


def _prediction(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    for graph, found in record["graphs"].items():
        if not {"n_areas", "share_unknown", "confidence", "surface_mm2"} <= found.keys():
            raise KeyError(f"{name}: incomplete record of {graph}")
    return record


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
        unknown=record.get("unknown", {}),
    )


def _side(split: Mapping[str, Any], null: Mapping[str, Any]) -> SideScores:
    is_repeated = len(split["seeds"]) > 1
    measures = {
        key: Spread(value, split["sd"][key] if is_repeated else None)
        for key, value in split["mean"].items()
        if value is not None
    }
    ensemble = split["ensemble"]
    interval = ensemble.get("interval")
    return SideScores(
        n_nodes=split["n_nodes"],
        measures=measures,
        areas=ensemble["per_class"],
        confusion=np.asarray(ensemble["confusion"], np.float64),
        error_distance=ensemble["error_distance"],
        null=Spread(null["mean"], null["sd"]) if null else None,
        null_p=null.get("p"),
        interval=(interval["low"], interval["high"]) if interval else None,
        baselines=split.get("baselines", {}),
        baseline_nulls={name: Spread(of["mean"], of["sd"]) for name, of in null.get("baselines", {}).items()},
        beyond_prior=dict(split.get("beyond_prior", {})),
        error_mm=ensemble.get("error_mm") or {},
        reliability=ensemble.get("reliability", []),
        bins=ensemble.get("bins", {}),
    )
