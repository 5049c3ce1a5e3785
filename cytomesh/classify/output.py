"""Predictions on disk: a table, labels and confidence for every graph, and the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.tables import Table, write_table
from cytomesh.graph.storage import CortexGraph
from cytomesh.surface.annot import write_annot
from cytomesh.surface.cifti import write_cifti_labels
from cytomesh.surface.formats import FREESURFER_SIDE
from cytomesh.surface.gifti import write_labels, write_scalars

ScalarT = TypeVar("ScalarT", bound=np.generic)


def prediction_table(
    graph: CortexGraph,
    probabilities: NDArray[np.float32],
    classes: NDArray[np.int32],
    sides: NDArray[np.str_],
    registered: NDArray[np.int32] | None = None,
) -> Table:
    """Best and second choice of each node; none, with confidence 0, where a node is no cortex.

    Parameters
    ----------
    probabilities : (n, k) float32
        Averaged over seeds.
    classes : (k,) int32
        Label of each column.
    sides : (n,) str
        Part of each node in training and evaluation, see `NodeSplit`; "" where its area is none of the classes.
    registered : (n,) int32, optional
        Area of each node by the registered prior alone.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    rows = np.arange(len(order))

    def in_cortex(values: NDArray[ScalarT]) -> NDArray[ScalarT]:
        return np.where(graph.is_cortex, values, values.dtype.type(0))

    columns = {
        "area": in_cortex(classes[order[:, 0]]),
        "confidence": in_cortex(probabilities[rows, order[:, 0]]),
        "second_area": in_cortex(classes[order[:, 1]]),
        "second_confidence": in_cortex(probabilities[rows, order[:, 1]]),
        "annotation": graph.annotation,
        "side": sides,
        "is_linked": graph.is_linked,
    }
    if registered is not None:
        columns["registered_area"] = in_cortex(registered)
    return Table(columns, {}, {"graph": graph.name, "graph_digest": graph.digest})


def write_predictions(folder: Path, graph: CortexGraph, table: Table, area: NDArray[np.int32]) -> None:
    """Write `predictions/<graph>.parquet`, `<graph>_confidence.func.gii`, and `area` for every program.

    That is `<graph>.label.gii`, FreeSurfer's `<lh|rh>.<graph>.annot`, and `<graph>.dlabel.nii` (CIFTI-2, of all
    vertices of the hemisphere), each with the label table.
    """
    write_table(folder / "predictions" / f"{graph.name}.parquet", table)
    write_labels(folder / f"{graph.name}.label.gii", area, graph.labels, graph.hemisphere)
    write_annot(folder / f"{FREESURFER_SIDE[graph.hemisphere]}.{graph.name}.annot", area, graph.labels)
    write_cifti_labels(folder / f"{graph.name}.dlabel.nii", {graph.hemisphere: area}, graph.labels, "areas")
    scalars = {"confidence": table["confidence"], "second_confidence": table["second_confidence"]}
    write_scalars(folder / f"{graph.name}_confidence.func.gii", scalars, graph.hemisphere)
