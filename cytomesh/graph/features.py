"""Node features on disk: one memory-mapped array a graph, checked, with the record of what it was computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.digests import FileDigests, content_digest
from cytomesh.core.errors import FeatureError, MissingStageError, did_you_mean
from cytomesh.core.files import open_npy, read_json, write_array, write_json
from cytomesh.core.formats import FORMATS, check_format
from cytomesh.core.provenance import Inputs, Record, made_now, read_record, write_record
from cytomesh.core.reading import command, reading, way_back
from cytomesh.core.run import NO_RECORD, check_name, product_folders
from cytomesh.graph.freshness import record_path
from cytomesh.graph.storage import CortexGraph

SECTIONS = ".sections-"
"""Begins the names of folders in which the features of a graph grow: SECTIONS, graph, "-", key of the inputs."""


def save_features(
    run: Path, encoder: str, graph: CortexGraph, features: NDArray[Any], facts: Mapping[str, Any]
) -> None:
    """Write node features, checked: one row per node, finite where linked, not constant.

    Parameters
    ----------
    features : (n, d) float16 or float32
        NaN rows for nodes without an image link.
    facts : dict
        Anything else to record beside them (um/px, patch size, ...).
    """
    source = f"{encoder}: {graph.name}"
    checked = check_features(features, graph, source)
    path = run / "features" / encoder / f"{graph.name}.npy"
    write_array(path, np.ascontiguousarray(features))
    record = {
        "format": FORMATS["features"],
        "encoder": encoder,
        "dim": features.shape[1],
        "dtype": str(features.dtype),
        "n_nodes": graph.n_nodes,
        "n_linked": int(graph.is_linked.sum()),
        "graph_digest": graph.digest,
        "digest": checked,
        **facts,
    }
    write_json(path.with_suffix(".json"), record)


def load_features(run: str | Path, encoder: str, graph: CortexGraph) -> NDArray[Any]:
    """Return node features, (n, d), memory-mapped read-only.

    Raises
    ------
    MissingStageError
        If the encoder has not been applied to this graph.
    FeatureError
        If they belong to another graph or encoder, are damaged or not as they were written, or are not finite at a
        linked node.
    FormatError
        If they are of a newer format than this program knows.

    Examples
    --------
    >>> from cytomesh import load_graphs
    >>> graph = load_graphs("run")[0]
    >>> features = load_features("run", "vit", graph)
    >>> features.shape == (graph.n_nodes, 8), features.dtype  # one row per node
    (True, dtype('float32'))
    """
    run = Path(run)
    path = run / "features" / check_name(encoder, "name of features") / f"{graph.name}.npy"
    if not path.is_file() or not path.with_suffix(".json").is_file():
        known = [folder.name for folder in product_folders(run, "features")]
        hint = f"run '{command(run, 'features', encoder)}', or choose one of: {', '.join(known) or 'none yet'}"
        hint = did_you_mean(encoder, set(known) - {encoder}, hint)
        raise MissingStageError(path, found="no features", hint=hint)
    record = read_json(path.with_suffix(".json"), FeatureError)
    with reading(path.with_suffix(".json"), FeatureError):
        check_format(path.with_suffix(".json"), "features", record.get("format"))
        of_graph, of_encoder, written = record["graph_digest"], record["encoder"], record.get("digest")
    if of_graph != graph.digest:
        again = command(run, "features", encoder)
        hint = f"run '{again}'; the graph was rebuilt or the file copied from another run"
        raise FeatureError(path, found="features of another graph", expected=f"those of {graph.name}", hint=hint)
    if of_encoder != encoder:
        found = f"features of encoder {of_encoder!r:.60} in the folder of '{encoder}'"
        raise FeatureError(path, found=found, expected="those of one encoder", hint=way_back(path))
    with reading(path, FeatureError, expected="an array (.npy)"):
        features = open_npy(path)
        found = check_features(features, graph, str(path))
    if written is not None and found != written:
        hint = way_back(path)
        raise FeatureError(path, found="features that are not as they were written", hint=hint)
    return features


def refuse_other_widths(name: str, values: Sequence[Any], graphs: Sequence[CortexGraph]) -> None:
    """Raise FeatureError unless the values of all graphs have as many columns as those of the first."""
    for own, graph in zip(values, graphs, strict=True):
        if own.shape[1] != values[0].shape[1]:
            expected = f"{values[0].shape[1]} as in {graphs[0].name}"
            raise FeatureError(graph.name, name, found=f"{own.shape[1]} columns", expected=expected)


def check_features(features: NDArray[Any], graph: CortexGraph, source: str) -> str:
    """Raise FeatureError unless there is one row per node, finite at linked nodes, and not the same everywhere.

    Returns
    -------
    str
        Digest of the features of linked nodes.
    """
    if features.dtype.kind not in "iuf":
        raise FeatureError(source, found=f"values of type {features.dtype}", expected="numbers")
    if features.ndim != 2 or len(features) != graph.n_nodes:
        raise FeatureError(source, found=f"shape {features.shape}", expected=f"({graph.n_nodes}, d)")
    linked = np.flatnonzero(graph.is_linked)
    single = np.promote_types(features.dtype, np.float32)  # NumPy is several times slower on half precision
    lowest = np.full(features.shape[1], np.inf)
    highest = np.full(features.shape[1], -np.inf)
    sha = hashlib.sha256(f"{features.dtype.name}{features.shape}".encode())
    for start in range(0, len(linked), 16384):  # features may be larger than memory
        rows = linked[start : start + 16384]
        stored = features[rows]
        sha.update(np.ascontiguousarray(stored).data)
        block = stored.astype(single, copy=False)
        bad = ~np.isfinite(block).all(axis=1)
        if bad.any():
            node = int(rows[np.argmax(bad)])
            place = f"node {node} (section {int(graph.section[node])})"
            found = f"NaN or infinite values at {int(bad.sum())} linked nodes or more"
            raise FeatureError(source, place, found=found, expected="finite features", hint=way_back(Path(source)))
        lowest = np.minimum(lowest, block.min(axis=0))
        highest = np.maximum(highest, block.max(axis=0))
    if len(linked) > 1 and not (highest > lowest).any():
        hint = "maps or images are blank, or the encoder has collapsed (train at a lower rate or a higher temperature)"
        raise FeatureError(source, found="the same features at every node", expected="features that differ", hint=hint)
    return sha.hexdigest()[:16]


def keep_features(
    run: Path,
    name: str,
    graph: CortexGraph,
    features: NDArray[Any],
    facts: Mapping[str, Any],
    inputs: Inputs,
    seed: int = 0,
    seconds: float = 0.0,
) -> None:
    """Write the features of a graph (see `save_features`), then their record."""
    product = f"features/{name}/{graph.name}"
    record_path(run, product).unlink(missing_ok=True)  # a kill from here on leaves features that nothing vouches for
    save_features(run, name, graph, features, facts)
    outputs = {"features": content_digest(run / f"{product}.npy")}
    record = Record("features", f"{name}/{graph.name}", inputs, outputs, made=made_now(seed), seconds=seconds)
    write_record(record_path(run, product), record)


def growing_features(folder: Path) -> dict[str, Path]:
    """Return, by graph, the folders of sections in which features of one encoder grow until they are whole."""
    return {path.name.removeprefix(SECTIONS).rpartition("-")[0]: path for path in sorted(folder.glob(f"{SECTIONS}*"))}


def feature_changes(run: Path, name: str, graph: str, inputs: Inputs, digests: FileDigests) -> list[str]:
    """Say why the features that are there are not those wanted; nothing if they are."""
    product = f"features/{name}/{graph}"
    path = run / f"{product}.npy"
    if not path.is_file() or not path.with_suffix(".json").is_file():
        return ["no features"]
    record = read_record(record_path(run, product))
    if record is None:
        return [NO_RECORD]
    changes = record.inputs.changes(inputs)
    return changes if digests.digest(path) == record.outputs.get("features") else [*changes, f"{path.name} changed"]
