"""Predictions on disk: a table, labels and confidence for every graph, and the formats of other programs."""

from __future__ import annotations

from pathlib import Path

import nibabel
import nibabel.freesurfer as freesurfer
import numpy as np
from numpy.typing import NDArray

from cytomesh.core.files import atomic_path
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.storage import CortexGraph
from cytomesh.surface.formats import FREESURFER_SIDE
from cytomesh.surface.gifti import STRUCTURES, write_labels, write_scalars

UNKNOWN_COLOUR = (25, 5, 25)
"""Of FreeSurfer's "unknown"."""


def prediction_table(
    graph: CortexGraph, probabilities: NDArray[np.float32], classes: NDArray[np.int32], sides: NDArray[np.str_]
) -> Table:
    """Best and second choice of each node.

    Parameters
    ----------
    probabilities : (n, k) float32
        Averaged over seeds.
    classes : (k,) int32
        Label of each column.
    sides : (n,) str
        Part of each node in training and evaluation, see `NodeSplit`; "" where its area is none of the classes.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    rows = np.arange(len(order))
    columns = {
        "area": classes[order[:, 0]],
        "confidence": probabilities[rows, order[:, 0]],
        "second_area": classes[order[:, 1]],
        "second_confidence": probabilities[rows, order[:, 1]],
        "annotation": graph.annotation,
        "side": sides,
        "is_linked": graph.is_linked,
    }
    return Table(columns, {}, {"graph": graph.name, "graph_digest": graph.digest})


def write_predictions(folder: Path, graph: CortexGraph, table: Table, area: NDArray[np.int32]) -> None:
    """Write `predictions/<graph>.parquet`, `<graph>.label.gii` (of `area`) and `<graph>_confidence.func.gii`."""
    write_table(folder / "predictions" / f"{graph.name}.parquet", table)
    write_labels(folder / f"{graph.name}.label.gii", area, graph.labels, graph.hemisphere)
    scalars = {"confidence": table["confidence"], "second_confidence": table["second_confidence"]}
    write_scalars(folder / f"{graph.name}_confidence.func.gii", scalars, graph.hemisphere)


def write_annot(folder: Path, graph: CortexGraph, labels: NDArray[np.int32]) -> Path:
    """Write `<lh|rh>.<graph>.annot`, FreeSurfer's, which tells areas apart by colour: all are made to differ."""
    table = graph.labels
    position = {0: 0, **{index: i + 1 for i, index in enumerate(table.indices)}}
    colours = np.zeros((len(table) + 1, 4), np.int32)  # the fourth column is transparency: 0
    colours[0, :3] = UNKNOWN_COLOUR
    taken = {UNKNOWN_COLOUR, (0, 0, 0)}  # black stands for no entry
    for row, colour in enumerate(np.round(255 * table.colours[:, :3]).astype(int).tolist(), start=1):
        red, green, blue = colour
        while (red, green, blue) in taken:
            blue = (blue + 1) % 256
        taken.add((red, green, blue))
        colours[row, :3] = red, green, blue
    path = folder / f"{FREESURFER_SIDE[graph.hemisphere]}.{graph.name}.annot"
    rows = np.array([position[int(label)] for label in labels], np.int64)
    with atomic_path(path) as temporary:
        freesurfer.write_annot(str(temporary), rows, colours, ["unknown", *table.names], fill_ctab=True)
    return path


def write_cifti(folder: Path, graph: CortexGraph, labels: NDArray[np.int32]) -> Path:
    """Write `<graph>.dlabel.nii` (CIFTI-2): all vertices of the hemisphere, with the label table."""
    colours: dict[int, tuple[str, tuple[float, ...]]] = {0: ("???", (0.0, 0.0, 0.0, 0.0))}
    colours |= {index: (name, tuple(float(v) for v in rgba)) for index, name, rgba in graph.labels.rows()}
    vertices = nibabel.cifti2.BrainModelAxis.from_surface(
        np.arange(graph.n_nodes), graph.n_nodes, name=STRUCTURES[graph.hemisphere]
    )
    header = nibabel.cifti2.LabelAxis([f"{graph.name} areas"], [colours]), vertices
    image = nibabel.Cifti2Image(labels[None].astype(np.float32), header=header)
    image.update_headers()
    path = folder / f"{graph.name}.dlabel.nii"
    with atomic_path(path) as temporary:
        image.to_filename(temporary)
    return path
