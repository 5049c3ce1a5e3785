"""Node features with the record of what they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cytomesh.core.digests import FileDigests, content_digest
from cytomesh.core.provenance import Inputs, Record, made_now, read_record, write_record
from cytomesh.core.run import NO_RECORD
from cytomesh.graph.freshness import record_path
from cytomesh.graph.storage import CortexGraph, save_features


def keep_features(
    run: Path,
    name: str,
    graph: CortexGraph,
    features: NDArray[Any],
    facts: Mapping[str, Any],
    inputs: Inputs,
    seed: int = 0,
) -> None:
    """Write the features of a graph (see `save_features`), then their record."""
    product = f"features/{name}/{graph.name}"
    record_path(run, product).unlink(missing_ok=True)  # a kill from here on leaves features that nothing vouches for
    save_features(run, name, graph, features, facts)
    outputs = {"features": content_digest(run / f"{product}.npy")}
    record = Record("features", f"{name}/{graph.name}", inputs, outputs, made=made_now(seed))
    write_record(record_path(run, product), record)


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
