"""Classifiers side by side: scores on the same nodes, and paired differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.evaluation import EVALUATIONS, paired_interval, section_draws, section_numbers
from cytomesh.core.errors import ConfigError, MissingStageError, did_you_mean
from cytomesh.core.learning import macro_f1
from cytomesh.core.run import check_name, product_folders
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.storage import CortexGraph, load_graphs


def compare_runs(run: Path, names: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Compare results of `cytomesh classify` with the first of them.

    Macro-F1 is that of the averaged seeds, over nodes that all results evaluate on a side. Differences are paired:
    the same sections are drawn for both (95 % percentile interval over sections, none with fewer than two sections).

    Returns
    -------
    dict
        By side: n_nodes; by name: macro_f1, and for all but the first difference, low and high.

    Raises
    ------
    MissingStageError, ConfigError
        If a result is missing, or belongs to graphs that have changed since.
    """
    graphs = load_graphs(run)
    tables = {name: _tables(run, name, graphs) for name in names}
    sections = section_numbers(graphs)
    truth = np.concatenate([graph.annotation for graph in graphs]).astype(np.int64)
    predicted = {name: _column(parts, "area").astype(np.int64) for name, parts in tables.items()}
    sides = {name: _column(parts, "side") for name, parts in tables.items()}
    result: dict[str, Any] = {}
    for side in EVALUATIONS:
        rows = np.logical_and.reduce([values == side for values in sides.values()])
        if not rows.any():
            continue
        entry: dict[str, Any] = {"n_nodes": int(rows.sum())}
        drawn = section_draws(sections[rows], seed)
        for name in names:
            entry[name] = {"macro_f1": macro_f1(truth[rows], predicted[name][rows])}
            if name == names[0]:
                continue
            entry[name]["difference"] = entry[name]["macro_f1"] - entry[names[0]]["macro_f1"]
            if drawn is not None:
                entry[name] |= paired_interval(drawn, truth[rows], predicted[name][rows], predicted[names[0]][rows])
        result[side] = entry
    return result


def _tables(run: Path, name: str, graphs: Sequence[CortexGraph]) -> list[Table]:
    tables = []
    for graph in graphs:
        path = run / "classify" / check_name(name, "name of a result") / "predictions" / f"{graph.name}.parquet"
        if not path.is_file():
            known = [folder.name for folder in product_folders(run, "classify")]
            hint = did_you_mean(name, set(known) - {name}, f"choose among: {', '.join(known) or 'none yet'}")
            raise MissingStageError(path, found="no predictions", hint=hint)
        table = read_table(path)
        if table.metadata["graph_digest"] != graph.digest:
            hint = "run 'cytomesh classify' again; the graph was rebuilt"
            raise ConfigError(str(path), found="predictions for another graph", expected=graph.name, hint=hint)
        if "side" not in table:
            found, expected = "areas that 'classify-predict' predicted, without sides", "results of 'cytomesh classify'"
            raise ConfigError(str(path), found=found, expected=expected, hint="compare results that were scored")
        tables.append(table)
    return tables


def _column(tables: Sequence[Table], name: str) -> NDArray[Any]:
    return np.concatenate([np.asarray(table[name]) for table in tables])
