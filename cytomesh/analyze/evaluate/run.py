"""The stage `evaluate`: every task of the protocol on every encoder, piece by piece, and one table."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.figures import write_figures
from cytomesh.analyze.evaluate.kinds import TASKS
from cytomesh.analyze.evaluate.pieces import FOLDER, drop_others, load_piece, piece_folder, save_piece, score_table
from cytomesh.analyze.evaluate.table import Outcomes, differences, row_label, table_rows
from cytomesh.analyze.evaluate.task import COORDINATES, Bench, Encoded, Outcome, Task
from cytomesh.analyze.products import analysis_product
from cytomesh.classify.evaluation import NEAREST_POSITIONS
from cytomesh.classify.kinds import CLASSIFIERS
from cytomesh.classify.neighbours import KnnModel
from cytomesh.core.digests import FileDigests, file_digests
from cytomesh.core.errors import ConfigError, MissingStageError, did_you_mean
from cytomesh.core.files import read_json, remove, write_json
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs, flat_settings
from cytomesh.core.reading import command, reading
from cytomesh.core.run import product_folders
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.features import load_features, refuse_other_widths
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import LINKS, PARTS, REFERENCE, features_read, parts_read
from cytomesh.graph.storage import load_graphs

KIND = "evaluate"
Places = dict[tuple[str, str], Inputs]
"""What each piece, (task, encoder), is made from."""


def evaluate_run(
    run: Path, name: str, settings: EvaluateConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Score encoders by one protocol; writes `analyze/<name>/`.

    `metrics.json` and `table.parquet` hold the table, `scores.parquet` every number behind it (one row a number:
    encoder, task, target, split, measure, level, repeat, value), `differences.parquet` the encoders in pairs. With
    `resume`, what a task said of an encoder is kept while its own inputs are the same: a further encoder costs its own
    heads only.

    Returns
    -------
    dict
        By row of the table: the mean of each encoder.

    Raises
    ------
    ConfigError, MissingStageError
        If an encoder, or what a task needs, is not there, or no task means anything on these graphs.
    StaleError
        If graphs or features are stale, unless `allow_stale`.
    """
    bench = Bench(run, load_graphs(run), settings)
    encoders = encoder_names(run, settings)
    tasks = {task: TASKS[task](section) for task, section in settings.tasks.named().items()}
    absent = {task: why for task, own in tasks.items() if (why := own.why_absent(bench))}
    wanted = {task: own for task, own in tasks.items() if task not in absent}
    notes = [f"{task}: {why}, left out" for task, why in absent.items()]
    if not wanted:
        raise ConfigError("tasks", found="; ".join(notes), expected="a task that means something on these graphs")
    result = analysis_product(run, name, KIND)
    with file_digests(run) as digests, result.open():
        pieces = _pieces(bench, wanted, encoders, digests)
        inputs = Inputs({**flat_settings(settings), "encoders": encoders})
        for own in pieces.values():
            inputs = inputs.merge(Inputs({}, own.values, own.files, own.products))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "evaluated again, but for what is the same")

            def begin(folder: Path) -> None:
                if (result.folder / FOLDER).is_dir() and folder != result.folder:
                    shutil.copytree(result.folder / FOLDER, folder / FOLDER)

            def goes_on(_: Inputs) -> bool:
                return True  # pieces have keys of their own: those of other inputs are made again

            writing = result.writing(inputs, settings, settings.seed, resume=resume, is_same=goes_on, start_from=begin)
            with writing as work:
                found = _outcomes(work.folder, bench, wanted, encoders, pieces)
                _write(work.folder, wanted, encoders, found, notes, settings)
                work.finish()
    metrics = read_json(result.folder / "metrics.json")
    with reading(result.folder / "metrics.json"):
        for note in metrics["notes"]:
            log(f"evaluate: {note}")
        return summary(metrics)


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of `metrics.json` as rows of means, by encoder."""
    return {
        row_label(row): {name: row["scores"][name]["mean"] for name in metrics["encoders"] if name in row["scores"]}
        for row in metrics["rows"]
    }


def encoder_names(run: Path, settings: EvaluateConfig) -> list[str]:
    """Return what is set side by side: features of the run, then baselines.

    Raises
    ------
    MissingStageError, ConfigError
        If there are none, not those asked for, or some with the name of a baseline.
    """
    there = [folder.name for folder in product_folders(run, "features")]
    if not there:
        raise MissingStageError(run / "features", found="no features", hint=f"run '{command(run, 'features')}' first")
    for name in settings.encoders:
        if name not in there:
            hint = did_you_mean(name, there, f"run '{command(run, 'features', name)}' first")
            raise ConfigError(
                "encoders", name, found="no features of this name", expected=" or ".join(there), hint=hint
            )
    names = list(dict.fromkeys(settings.encoders)) or there
    if COORDINATES in names:
        hint = "rename the folder of these features"
        raise ConfigError("encoders", COORDINATES, found="features with the name of a baseline", hint=hint)
    return [*names, *settings.baselines]


def _pieces(bench: Bench, tasks: Mapping[str, Task], encoders: Sequence[str], digests: FileDigests) -> Places:
    """Return what each piece is made from."""
    settings = bench.settings
    parts = parts_read(bench.run, bench.graphs, PARTS, digests)
    seen = {
        encoder: parts.of_kinds(REFERENCE, LINKS)
        if encoder in settings.baselines
        else features_read(bench.run, bench.graphs, [encoder], digests)
        for encoder in encoders
    }
    protocol = flat_settings(settings, exclude={"encoders", "baselines", "tasks"})
    found: Places = {}
    for name, task in tasks.items():
        own = {f"tasks.{name}.{key}": value for key, value in flat_settings(task.settings).items()}
        shared = {key: value for key, value in protocol.items() if key.partition(".")[0] in task.protocol}
        added = TASKS.packages(name) | (CLASSIFIERS.packages(settings.head.kind) if "head" in task.protocol else {})
        reads = task.reads(bench, digests).merge(parts.of_kinds(*task.parts))
        for encoder in encoders:
            found[name, encoder] = Inputs({**own, **shared}, added).merge(reads).merge(seen[encoder])
    return found


def _outcomes(
    folder: Path, bench: Bench, tasks: Mapping[str, Task], encoders: Sequence[str], pieces: Places
) -> Outcomes:
    """Return what each task says of each encoder; what is kept is not computed again."""
    found: dict[str, dict[str, Outcome]] = {task: {} for task in tasks}
    for encoder in encoders:
        encoded = None
        for name, task in tasks.items():
            place, key = piece_folder(folder, name, encoder), pieces[name, encoder].key
            outcome = load_piece(place, key)
            if outcome is None:
                remove(place)
                encoded = encoded or encode(bench, encoder)
                outcome = task.score(bench, encoded)
                save_piece(place, key, outcome)
                log(f"evaluate: {encoder}: {name} done")
            found[name][encoder] = outcome
    drop_others(folder, pieces)
    return found


def encode(bench: Bench, encoder: str) -> Encoded:
    """Return the nodes as an encoder, or a baseline, sees them, and the head that goes with it."""
    if encoder == COORDINATES:
        places = np.concatenate([graph.mirrored_reference for graph in bench.graphs])
        return Encoded(encoder, places, KnnModel(kind="knn", neighbours=NEAREST_POSITIONS))
    parts = [load_features(bench.run, encoder, graph) for graph in bench.graphs]
    refuse_other_widths(encoder, parts, bench.graphs)
    return Encoded(encoder, np.concatenate(parts), bench.settings.head)


def _write(
    folder: Path,
    tasks: Mapping[str, Task],
    encoders: Sequence[str],
    found: Outcomes,
    notes: Sequence[str],
    settings: EvaluateConfig,
) -> None:
    for old in (*folder.glob("*.svg"), *folder.glob("*.parquet")):
        remove(old)  # of what was stopped, and may have had other tasks
    rows, apart = table_rows(tasks, found), differences(found, settings.seed)
    of_tasks = [note for outcomes in found.values() for outcome in outcomes.values() for note in outcome.notes]
    flat = [
        ({"encoder": encoder, "task": task}, score)
        for task, outcomes in found.items()
        for encoder, outcome in outcomes.items()
        for score in outcome.scores
    ]
    write_table(folder / "scores.parquet", score_table([facts for facts, _ in flat], [score for _, score in flat]))
    means = [
        {**{key: row[key] for key in ("task", "target", "split", "measure", "level")}, "encoder": encoder, **score}
        for row in rows
        for encoder, score in row["scores"].items()
    ]
    for name, records in (("table", means), ("differences", apart)):
        if records:
            columns = {key: [record[key] for record in records] for key in records[0]}
            write_table(folder / f"{name}.parquet", Table({key: _column(column) for key, column in columns.items()}))
    facts = {"kind": KIND, "encoders": list(encoders), "baselines": list(settings.baselines)}
    metrics = {**facts, "rows": rows, "differences": apart, "notes": list(dict.fromkeys([*notes, *of_tasks]))}
    write_json(folder / "metrics.json", metrics)
    write_figures(folder, metrics)


def _column(values: list[Any]) -> Any:
    """Return values as a column; numbers that are not there are NaN."""
    return np.array([np.nan if value is None else value for value in values])
