"""What analyses measure at nodes, one table per graph: targets of other analyses, columns for anybody's statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import ConfigError, GraphError, MissingStageError, did_you_mean
from cytomesh.core.provenance import Inputs
from cytomesh.core.run import check_name, product, product_folders
from cytomesh.core.tables import Table, read_table, write_table
from cytomesh.graph.storage import CortexGraph

DIGEST, ORIGIN = "graph_digest", "origin"


def save_measures(
    folder: Path, graph: CortexGraph, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str], origin: str = ""
) -> None:
    """Write `folder/nodes/<graph>.parquet`.

    Parameters
    ----------
    folder : Path
        Of the analysis, `analyze/<name>`.
    graph : CortexGraph
        Whose identity the table carries: it will not be read for another mesh or other image links.
    columns : dict of str to (n,) array
        One row per node; NaN where nothing was measured.
    units : dict of str to str
        By column ("mm", "1/mm3"), where it has one.
    origin : str
        Where they come from, if no analysis has made them.

    Raises
    ------
    GraphError
        If a column has another number of rows.
    """
    for name, values in columns.items():
        if len(values) != graph.n_nodes:
            raise GraphError(graph.name, name, found=f"{len(values)} values", expected=f"{graph.n_nodes}, one per node")
    facts = {DIGEST: graph.digest, "graph": graph.name, **({ORIGIN: origin} if origin else {})}
    write_table(measures_path(folder, graph.name), Table(dict(columns), units, facts))


def measures_path(folder: Path, graph: str) -> Path:
    """Return where an analysis keeps the measures of a graph's nodes."""
    return folder / "nodes" / f"{graph}.parquet"


def load_measures(run: Path, analysis: str, graph: CortexGraph) -> Table:
    """Read what an analysis measured at the nodes of a graph.

    Raises
    ------
    MissingStageError
        If there is no such analysis, it was not finished, or it measured nothing at these nodes.
    GraphError
        If the measures are of another mesh or other image links.
    """
    made = product(run, "analyze", check_name(analysis, "name of an analysis"))
    path = measures_path(made.folder, graph.name)
    if path.is_file() and not made.is_finished:
        hint = f"run '{analysis}' again: it stopped before its end"
        raise MissingStageError(path, found="measures of an analysis that was not finished", hint=hint)
    if not path.is_file():
        known = [folder.name for folder in product_folders(run, "analyze") if (folder / "nodes").is_dir()]
        hint = f"analyses that measure nodes: {', '.join(known) or 'none yet'}"
        hint = did_you_mean(analysis, set(known) - {analysis}, hint)
        raise MissingStageError(path, found="no measures of nodes", hint=hint)
    table = read_table(path)
    if table.metadata.get(DIGEST) != graph.digest or len(table) != graph.n_nodes:
        hint = f"run the analysis '{analysis}' again: the graph was rebuilt since"
        raise GraphError(path, found="measures of another graph", expected=f"those of {graph.name}", hint=hint)
    return table


def load_measure(run: Path, graph: CortexGraph, name: str) -> NDArray[np.float64]:
    """Return one measure of the nodes, (n,) float64, by "<analysis>:<column>".

    Raises
    ------
    ConfigError
        If the analysis has no such column of numbers.
    """
    analysis, _, column = name.partition(":")
    table = load_measures(run, analysis, graph)
    known = numeric_columns(table)
    if column not in known:
        raise unknown_column(column, known, f"{analysis} of {graph.name}")
    return np.asarray(table[column], np.float64)


def numeric_columns(table: Table) -> list[str]:
    """Return the names of a table's columns that hold one number per row."""
    return [name for name, values in table.columns.items() if np.ndim(values) == 1 and values.dtype.kind in "iuf"]


def check_columns(graphs: Iterable[CortexGraph], names: Iterable[str], setting: str, also: Iterable[str] = ()) -> None:
    """Check that all graphs have the columns that a setting names; measures of analyses are looked for later.

    `also` has other words that the setting knows.

    Raises
    ------
    ConfigError
        With the nearest column that is there.
    """
    own = [name for name in names if ":" not in name and name not in also]
    for graph in graphs:
        known = set(numeric_columns(graph.nodes))
        if unknown := [name for name in own if name not in known]:
            raise unknown_column(unknown[0], known.union(also), graph.name, setting, others=unknown[1:])


def unknown_column(
    name: str,
    known: Iterable[str],
    place: str,
    setting: str = "targets",
    holding: str = "numbers",
    others: Sequence[str] = (),
) -> ConfigError:
    """Return the error for a column that a setting names and that is not there, with the nearest one that is.

    `others` are not there either.
    """
    known = sorted(known)
    hint = did_you_mean(name, known, f"there are {', '.join(known)}")
    found = f"no column of {holding} '{name}' in {place}" + (f", nor {', '.join(others)}" if others else "")
    return ConfigError(setting, name, found=found, hint=hint)


def measures_read(run: Path, graphs: Iterable[CortexGraph], names: Sequence[str], digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads measures, each "<analysis>:<column>"."""
    products = {}
    for analysis in dict.fromkeys(name.partition(":")[0] for name in names if ":" in name):
        for graph in graphs:
            folder = run / "analyze" / analysis
            path = measures_path(folder, graph.name)
            part = path.relative_to(folder).as_posix()
            products[f"{analysis} of nodes: {graph.name}"] = (f"analyze/{analysis}", part, digests.digest(path))
    return Inputs(products=products)
