"""The files of a parcellated hemisphere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import write_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.parcel_summary import parcel_graph, parcel_summaries, write_graphml
from cytomesh.surface.annot import write_annot
from cytomesh.surface.cifti import write_cifti_labels
from cytomesh.surface.formats import FREESURFER_SIDE
from cytomesh.surface.gifti import write_labels, write_scalars


def write_parcels(
    folder: Path,
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    table: LabelTable,
    gradients: NDArray[np.float64],
    levels: Mapping[int, NDArray[np.int64]],
    tilings: Sequence[NDArray[np.int64]],
    confidence: NDArray[np.float64] | None,
) -> None:
    """Write labels, gradients, confidence, cards and the graph of parcels.

    `<graph>.label.gii`, `<graph>.dlabel.nii`, `<lh|rh>.<graph>.annot`, `<graph>_gradients.func.gii`,
    `<graph>_confidence.func.gii`, `<graph>.parquet` (one row per node), `<graph>_parcels.json` (cards) and
    `<graph>_parcels.graphml`.

    Parameters
    ----------
    parcels : (m,) int64
        Labels of the parcellated nodes; the others get 0.
    table : LabelTable
        Names and colours of all parcels, also of those that only other graphs have.
    gradients : (m, g) float64
    levels : mapping from int to (m,) int64
        Coarser parcels by their number: columns `parcel_<number>`.
    tilings : sequence of (m,) int64
        Geometry-only parcels of the same number, for the cards.
    confidence : (m,) float64, optional
        See `stability.confidence`.
    """
    labels = np.zeros(graph.n_nodes, np.int32)
    labels[features.nodes] = parcels
    write_labels(folder / f"{graph.name}.label.gii", labels, table, graph.hemisphere, "parcels")
    write_cifti_labels(folder / f"{graph.name}.dlabel.nii", {graph.hemisphere: labels}, table, "parcels")
    write_annot(folder / f"{FREESURFER_SIDE[graph.hemisphere]}.{graph.name}.annot", labels, table)

    maps = {}
    for number, column in enumerate(gradients.T, start=1):
        values = np.full(graph.n_nodes, np.nan, np.float32)
        values[features.nodes] = column
        maps[f"gradient {number}"] = values
    # Workbench shows 0 as "no data"; NaN would break its palettes.
    scalars = {title: np.nan_to_num(values) for title, values in maps.items()}
    write_scalars(folder / f"{graph.name}_gradients.func.gii", scalars, graph.hemisphere)

    confidence_file = folder / f"{graph.name}_confidence.func.gii"
    confidence_file.unlink(missing_ok=True)  # of other settings
    if confidence is not None:
        values = np.full(graph.n_nodes, np.nan, np.float32)
        values[features.nodes] = confidence
        maps["confidence"] = values
        write_scalars(confidence_file, {"confidence": np.nan_to_num(values)}, graph.hemisphere)

    is_imputed = np.zeros(graph.n_nodes, bool)
    is_imputed[features.nodes] = features.is_imputed
    columns: dict[str, NDArray[Any]] = {"parcel": labels, "is_imputed": is_imputed, "annotation": graph.annotation}
    for number, coarser in levels.items():
        columns[f"parcel_{number}"] = np.zeros(graph.n_nodes, np.int32)
        columns[f"parcel_{number}"][features.nodes] = coarser
    columns |= {title.replace(" ", "_"): values for title, values in maps.items()}
    facts = {"brain": graph.brain, "hemisphere": graph.hemisphere, "graph_digest": graph.digest}
    write_table(folder / f"{graph.name}.parquet", Table(columns, {}, facts))

    cards = parcel_summaries(graph, features, parcels, table, tilings, confidence)
    write_json(folder / f"{graph.name}_parcels.json", cards)
    write_graphml(folder / f"{graph.name}_parcels.graphml", parcel_graph(features, parcels, cards))


def write_nulls(
    path: Path,
    graph: CortexGraph,
    nodes: NDArray[np.int64],
    tilings: Sequence[NDArray[np.int64]],
    noise: Sequence[NDArray[np.int64]],
) -> None:
    """Write null parcellations of a graph as a table, a row per node: labels from 1, 0 at masked nodes.

    Columns tiling_<i>: geometry alone; noise_<i>: the same method on random numbers in the place of the features.
    """
    columns = {}
    for kind, some in (("tiling", tilings), ("noise", noise)):
        for number, labels in enumerate(some, start=1):
            columns[f"{kind}_{number}"] = np.zeros(graph.n_nodes, np.int32)
            columns[f"{kind}_{number}"][nodes] = labels - labels.min() + 1
    write_table(path, Table(columns, {}, {"graph_digest": graph.digest}))
