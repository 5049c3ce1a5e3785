"""What one task said of one encoder, kept until something that it was made from changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.evaluate.task import Named, Outcome, Score
from cytomesh.core.digests import content_digest
from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import read_object, remove, write_json
from cytomesh.core.tables import Table, read_table, write_table

FOLDER = "pieces"
FILES = SCORES, NODES = "scores.parquet", "nodes.parquet"
RECORD = "piece.json"
FIELDS = ("target", "split", "measure", "value", "level", "repeat")


def piece_folder(folder: Path, task: str, encoder: str) -> Path:
    """Return where an evaluation keeps what a task said of an encoder."""
    return folder / FOLDER / task / encoder


def save_piece(folder: Path, key: str, outcome: Outcome) -> None:
    """Write an outcome; its record, with the key of what it was made from, comes last."""
    write_table(folder / SCORES, score_table([{}] * len(outcome.scores), outcome.scores))
    nodes: dict[str, list[Any]] = {name: [] for name in ("target", "split", "section", "truth", "predicted")}
    for (target, split), named in outcome.named.items():
        nodes["target"] += [target] * len(named.truth)
        nodes["split"] += [split] * len(named.truth)
        for name in ("section", "truth", "predicted"):
            nodes[name] += getattr(named, name).tolist()
    write_table(folder / NODES, Table({name: _column(values) for name, values in nodes.items()}))
    write_json(folder / RECORD, {"key": key, "files": _contents(folder), "notes": list(outcome.notes)})


def load_piece(folder: Path, key: str) -> Outcome | None:
    """Read an outcome; None if there is none that was made from the same inputs, or its files are not as written."""
    try:
        record = read_object(folder / RECORD)
        if record.get("key") != key or record.get("files") != _contents(folder):
            return None
        scores, nodes = read_table(folder / SCORES, needs=FIELDS), read_table(folder / NODES)
    except CytomeshError:
        return None
    rows = zip(*(scores[name].tolist() for name in FIELDS), strict=True)
    found = [Score(t, s, m, v, None if np.isnan(level) else level, repeat) for t, s, m, v, level, repeat in rows]
    targets, splits = (np.asarray(nodes[name], np.str_) for name in ("target", "split"))
    named = {}
    for target, split in dict.fromkeys(zip(targets.tolist(), splits.tolist(), strict=True)):
        here = (targets == target) & (splits == split)
        named[target, split] = Named(
            *(np.asarray(nodes[name], np.int64)[here] for name in ("section", "truth", "predicted"))
        )
    return Outcome(found, named, tuple(map(str, record.get("notes", ()))))


def drop_others(folder: Path, kept: Iterable[tuple[str, str]]) -> None:
    """Remove the pieces of encoders and tasks that the protocol names no more."""
    wanted = {piece_folder(folder, task, encoder) for task, encoder in kept}
    for path in (folder / FOLDER).glob("*/*"):
        if path not in wanted:
            remove(path)
    for path in (folder / FOLDER).glob("*"):
        if not any(path.iterdir()):
            remove(path)


def score_table(facts: Sequence[dict[str, str]], scores: Sequence[Score]) -> Table:
    """Return scores as a long table, one row a number, after the facts of each."""
    names = list(dict.fromkeys(name for own in facts for name in own))
    columns = {name: _column([own[name] for own in facts]) for name in names}
    own = {name: [getattr(score, name) for score in scores] for name in FIELDS}
    own["level"] = [np.nan if level is None else level for level in own["level"]]
    return Table({**columns, **{name: _column(values) for name, values in own.items()}})


def _contents(folder: Path) -> dict[str, str]:
    return {name: content_digest(folder / name) for name in FILES}


def _column(values: list[Any]) -> Any:
    return np.array(values) if values else np.zeros(0)
