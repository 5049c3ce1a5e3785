"""What a run holds: which products are done, stale, stopped or failed, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cytomesh.core.digests import file_digests
from cytomesh.core.errors import MissingStageError
from cytomesh.core.provenance import UNFINISHED, Record, read_record, said
from cytomesh.core.run import STAGES, Product, product_folders
from cytomesh.graph.features import growing_features
from cytomesh.graph.freshness import Freshness

State = Literal["done", "stale", "stopped", "failed"]
NOTHING_KNOWN = "made from what nobody recorded: imported, or by an earlier version"


@dataclass(frozen=True, slots=True)
class Status:
    """One product of a run.

    Parameters
    ----------
    product : str
        Folder below the run; for features, that and the graph's name.
    state : {"done", "stale", "stopped", "failed"}
        stale: finished, and not what its inputs would give now; stopped: begun, not finished; failed: the last attempt
        ended with an error. The last two speak of an attempt to make the product anew where one is there.
    reasons : tuple of str
    megabytes : float
    seconds : float
        What it took.
    started : str
        When it was begun that is there now (UTC).
    """

    product: str
    state: State
    reasons: tuple[str, ...]
    megabytes: float
    seconds: float
    started: str


def run_status(run: Path) -> list[Status]:
    """Look at every product of a run, in the order of the stages; nothing is written but what makes looking faster.

    Raises
    ------
    MissingStageError
        If there is no run here.
    """
    if not any((run / stage).is_dir() for stage in STAGES):
        hint = f"is it the run directory? 'cytomesh build-graph STUDY.yaml --out {run}' begins one"
        raise MissingStageError(run, found="no run", hint=hint)
    with file_digests(run) as digests:
        freshness = Freshness(run, digests)
        return [_status(run, product, freshness) for product in _products(run)]


def _products(run: Path) -> Iterator[str]:
    for stage in ("graphs", "register", "encoders"):
        yield from (f"{stage}/{folder.name}" for folder in product_folders(run, stage) if any(folder.iterdir()))
    for folder in product_folders(run, "features"):
        names = {path.stem for path in folder.glob("[!.]*.npy")} | growing_features(folder).keys()
        yield from (f"features/{folder.name}/{name}" for name in sorted(names))
    for stage in ("classify", "parcellate", "analyze"):
        for folder in product_folders(run, stage):
            folds = product_folders(run / stage, folder.name)
            folds = [fold for fold in folds if fold.name.startswith("fold-")]
            yield from (f"{stage}/{folder.name}/{fold.name}" for fold in folds)
            if not folds and any(folder.iterdir()):
                yield f"{stage}/{folder.name}"


def _status(run: Path, product: str, freshness: Freshness) -> Status:
    record = freshness.record(product)
    reasons = tuple(freshness.reasons(product))
    state: State = "stale" if reasons else "done"
    if record is None and not reasons:
        reasons = (NOTHING_KNOWN,)
    is_there, begun, size = _found(run, product)
    if begun is not None:
        failure = begun.made.get("error")
        state = "failed" if failure else "stopped"
        reasons = (failure or "begun and not finished", *(["an earlier result is in place"] if is_there else []))
    made = record.made if record else {}
    started, seconds = str(made.get("started", ""))[:16].replace("T", " "), record.seconds if record else 0.0
    return Status(product, state, reasons, size / 1e6, seconds, started)


def _found(run: Path, product: str) -> tuple[bool, Record | None, int]:
    """Return whether a finished product is there, the record of one that is begun, and the size of both, bytes."""
    if not product.startswith("features/"):
        folder = Product(run, product)
        return folder.is_finished, folder.unfinished, _size(run / product)
    path, name = (run / product).parent, product.rpartition("/")[2]
    values, growing = path / f"{name}.npy", growing_features(path).get(name)
    begun = read_record(growing / UNFINISHED) if growing else None
    is_there = values.is_file()
    return is_there, begun, (values.stat().st_size if is_there else 0) + (_size(growing) if growing else 0)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def status_table(statuses: list[Status]) -> str:
    """Return one line per product: state, size, time, and why it is not simply done."""
    width = max((len(status.product) for status in statuses), default=0)
    lines = [f"{'':<{width}}  {'state':<7} {'size':>12} {'made in':>11}  {'begun (UTC)':16}  why".rstrip()]
    for status in statuses:
        took = f"{status.seconds:9.1f} s" if status.seconds else f"{'':11}"  # not known of what was imported
        numbers = f"{status.megabytes:9.1f} MB {took}  {status.started:16}"
        lines.append(f"{status.product:<{width}}  {status.state:<7} {numbers}  {said(status.reasons)}".rstrip())
    return "\n".join(lines)
