"""The stage `measures`: numbers of nodes from elsewhere, such as myelin or receptors, for analyses and the report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.measures import save_measures
from cytomesh.analyze.products import analysis_product
from cytomesh.core.config import Config, fill_pattern
from cytomesh.core.digests import file_digests
from cytomesh.core.errors import ConfigError, GraphError, MissingStageError
from cytomesh.core.files import read_json, write_json
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs, flat_settings, place
from cytomesh.core.reading import reading
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import LINKS, SURFACE, parts_read
from cytomesh.graph.storage import CortexGraph, load_graphs
from cytomesh.graph.vertex_columns import numbers_of, refuse_stray_text
from cytomesh.surface.map_readers import stem
from cytomesh.surface.vertex_data import read_vertex_data

ELSEWHERE = "elsewhere"
"""Origin of these measures, in their tables."""


class MeasuresConfig(Config):
    """Settings of `cytomesh measures`."""

    files: str
    """Where the values of a graph's nodes are, with {graph}, or {brain} and {hemisphere}, for what differs between
    graphs: "maps/{graph}.csv". One row per node, in the order of `nodes.parquet` and of the surfaces' vertices."""


def measures_run(
    run: Path, name: str, settings: MeasuresConfig, *, resume: bool = True, allow_stale: bool = False
) -> dict[str, Any]:
    """Take over numbers of nodes; writes `analyze/<name>/nodes/<graph>.parquet`, NaN in graphs without a file.

    Returns
    -------
    dict
        By graph, number of nodes with a value by column.

    Raises
    ------
    ConfigError
        If the pattern of the files is none, or names one file for several graphs.
    MissingStageError
        If there is no such file, or the run has no graphs.
    GraphError, SurfaceError
        If a file cannot be read, has no numbers, or not one row per node.
    StaleError
        If graphs are stale, unless `allow_stale`.
    """
    graphs = load_graphs(run)
    paths = measure_files(graphs, settings.files)
    result = analysis_product(run, name, "measures")
    with file_digests(run) as digests, result.open():
        contents = digests.digest_all(paths.values())
        read = {
            f"measures: {graph}": (place(path, run), c)
            for (graph, path), c in zip(paths.items(), contents, strict=True)
        }
        inputs = Inputs(flat_settings(settings), {}, read).merge(parts_read(run, graphs, (SURFACE, LINKS), digests))
        Freshness(run, digests).check(inputs, allow_stale=allow_stale)
        if not (resume and result.is_current(inputs)):
            result.announce(inputs, "taken over again")
            with result.writing(inputs, settings, 0, resume=resume) as work:
                _take_over(work.folder, graphs, paths, common_stem(settings.files))
                work.finish()
    with reading(result.folder / "metrics.json"):
        return dict(read_json(result.folder / "metrics.json")["nodes"])


def measure_files(graphs: Sequence[CortexGraph], pattern: str) -> dict[str, Path]:
    """Return the files that are there by graph.

    Raises
    ------
    ConfigError
        If the pattern is none, or names one file for several graphs.
    MissingStageError
        If there is none.
    """
    words = {g.name: {"graph": g.name, "brain": g.brain, "hemisphere": g.hemisphere} for g in graphs}
    paths = {name: Path(fill_pattern("files", pattern, **own)).expanduser() for name, own in words.items()}
    if len(set(paths.values())) < len(paths):
        hint = "write {graph} where the names of their files differ"
        raise ConfigError("files", pattern, found="one file for several graphs", expected="one per graph", hint=hint)
    there = {graph: path for graph, path in paths.items() if path.is_file()}
    if not there:
        name, path = next(iter(paths.items()))
        raise MissingStageError(path, found=f"no such file for {name}, nor for any other graph", hint="check the path")
    for name in sorted(paths.keys() - there.keys()):
        log(f"measures: {name} has none: {paths[name]} is not there")
    return there


def read_measures(path: Path, graph: CortexGraph, common: str) -> dict[str, NDArray[np.float64]]:
    """Read columns of numbers, (n,) each; columns of text are named in the log and left out.

    Values that a file has no name for are called after the file: so that they have one name in all graphs, `common`
    stands for what it is called.

    Raises
    ------
    GraphError, SurfaceError
        If the file cannot be read, has no numbers, numbers with text among them, or not one row per node.
    """
    found = {}
    own = re.compile(re.escape(stem(path)) + r"(?= \d+$|$)")
    for given, values in read_vertex_data(path, graph.n_nodes, graph.hemisphere).items():
        name = own.sub(common, given, count=1) if own.match(given) else given
        if values.dtype.kind in "iufb":
            found[name] = numbers_of(path, name, values, np.float64)
        else:
            refuse_stray_text(path, name, values)
            log(f"{path}: column '{name}' is text and left out")
    if not found:
        raise GraphError(path, found="no column of numbers", expected="one or more", hint="areas are read as labels")
    return found


def common_stem(pattern: str) -> str:
    """Return what files of all graphs call their values: their name without what differs between graphs.

    Examples
    --------
    >>> common_stem("maps/{graph}_myelin.shape.gii"), common_stem("sub-{brain}_hemi-{hemisphere}_t1.npy")
    ('myelin', 't1')
    """
    constant = re.sub(r"((sub|hemi)-)?\{[^}]*\}", "", Path(pattern).name)
    return re.sub(r"([_-])[_-]+", r"\1", stem(Path(constant))).strip("_- ") or "value"


def _take_over(folder: Path, graphs: Sequence[CortexGraph], paths: Mapping[str, Path], common: str) -> None:
    read = {graph.name: read_measures(paths[graph.name], graph, common) for graph in graphs if graph.name in paths}
    names = list(dict.fromkeys(name for columns in read.values() for name in columns))
    counts: dict[str, dict[str, int]] = {}
    for graph in graphs:
        own = read.get(graph.name, {})
        columns = {name: own.get(name, np.full(graph.n_nodes, np.nan)) for name in names}
        save_measures(folder, graph, columns, {}, ELSEWHERE)
        counts[graph.name] = {name: int(np.isfinite(values).sum()) for name, values in columns.items()}
    write_json(folder / "metrics.json", {"kind": "measures", "columns": names, "nodes": counts})
