"""Predictions on disk: a table, labels and confidence for every graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.storage import CortexGraph
from cytomesh.surface.gifti import write_labels, write_scalars


def prediction_table(graph: CortexGraph, probabilities: NDArray[np.float32], classes: NDArray[np.int32]) -> Table:
    """Best and second choice of each node.

    Parameters
    ----------
    probabilities : (n, k) float32
        Averaged over seeds.
    classes : (k,) int32
        Label of each column.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    rows = np.arange(len(order))
    columns = {
        "area": classes[order[:, 0]],
        "confidence": probabilities[rows, order[:, 0]],
        "second_area": classes[order[:, 1]],
        "second_confidence": probabilities[rows, order[:, 1]],
        "annotation": graph.annotation,
        "is_linked": graph.is_linked,
    }
    return Table(columns, {}, {"graph": graph.name, "graph_digest": graph.digest})


def write_predictions(folder: Path, graph: CortexGraph, table: Table, labels: LabelTable) -> None:
    """Write `predictions/<graph>.parquet`, `<graph>.label.gii` and `<graph>_confidence.func.gii`."""
    write_table(folder / "predictions" / f"{graph.name}.parquet", table)
    write_labels(folder / f"{graph.name}.label.gii", table["area"], labels, graph.hemisphere)
    scalars = {"confidence": table["confidence"], "second_confidence": table["second_confidence"]}
    write_scalars(folder / f"{graph.name}_confidence.func.gii", scalars, graph.hemisphere)
