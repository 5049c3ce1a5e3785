"""Everything a model is given: inputs, classes and sides of the nodes of all graphs, and the mesh edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.classify.config import AreasConfig, ClassifyConfig
from cytomesh.classify.context import Floats, Mask
from cytomesh.classify.inputs import NodeInputs, prepare_inputs
from cytomesh.classify.splits import TRAIN, VALIDATION, NodeSplit, make_split
from cytomesh.core.errors import SplitError
from cytomesh.core.labels import LabelTable
from cytomesh.graph.storage import CortexGraph

ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, slots=True)
class NodeData:
    """The nodes of several graphs, one after the other.

    Parameters
    ----------
    inputs : (n, d) float32
    targets : (n,) int64
        Class of each labelled node (a row of `classes`), -1 without one.
    sides : (n,) str
        See `NodeSplit`.
    adjacency : (n, n) CSR
        Mesh edges; graphs are not joined.
    sizes : (g,) int64
        Nodes of each graph.
    classes : (k,) int32
        Label of each class: the areas with training nodes, ascending.
    positions : (n, 3) float32
        In world space, mm: where to cut the graphs into parts.
    """

    inputs: Floats
    targets: NDArray[np.int64]
    sides: NDArray[np.str_]
    adjacency: sp.csr_matrix
    sizes: NDArray[np.int64]
    classes: NDArray[np.int32]
    positions: Floats

    @property
    def is_train(self) -> Mask:
        """Nodes whose labels are learnt from."""
        return np.asarray(self.sides == TRAIN)

    @property
    def is_validation(self) -> Mask:
        """Nodes whose labels decide when to stop."""
        return np.asarray(self.sides == VALIDATION)

    def evaluated(self, side: str) -> Mask:
        """Nodes of an evaluation side whose area is one of the classes."""
        return np.asarray((self.sides == side) & (self.targets >= 0))

    def graphs(self, per_node: NDArray[ScalarT]) -> list[NDArray[ScalarT]]:
        """Cut an array with one row a node into one array a graph."""
        return np.split(per_node, np.cumsum(self.sizes)[:-1])

    def training_part(self) -> NodeData:
        """Return the graphs with training or validation nodes only: no edge leads out of them."""
        involved = self.graphs(self.is_train | self.is_validation)
        keep = np.repeat([bool(mask.any()) for mask in involved], self.sizes)
        if keep.all():
            return self
        return self.part(keep)

    def part(self, keep: Mask) -> NodeData:
        """Return some of the nodes and the edges among them; graphs without any are left out."""
        sizes = np.array([mask.sum() for mask in self.graphs(keep) if mask.any()], np.int64)
        adjacency = self.adjacency[keep][:, keep]
        columns = (self.inputs[keep], self.targets[keep], self.sides[keep])
        return NodeData(*columns, adjacency, sizes, self.classes, self.positions[keep])


def assemble(
    run: Path, graphs: Sequence[CortexGraph], labels: Sequence[NDArray[np.int32]], settings: ClassifyConfig
) -> tuple[NodeData, NodeInputs, tuple[str, ...]]:
    """Split the labelled nodes, choose the classes and prepare the inputs.

    Returns
    -------
    data, inputs : NodeData, NodeInputs
    notes : tuple of str
        What a reader of the scores should know.
    """
    same_labels(graphs)
    labels, dropped = drop_small_areas(graphs, labels, settings)
    split = make_split(graphs, labels, settings.split, settings.seed)
    inputs = prepare_inputs(run, graphs, split.masks(TRAIN), settings.inputs)
    data = with_split(inputs, graphs, labels, split)
    return data, inputs, (*split.notes, *dropped, *inputs.notes, *class_notes(data, labels, graphs[0].labels))


def with_split(
    inputs: NodeInputs, graphs: Sequence[CortexGraph], labels: Sequence[NDArray[np.int32]], split: NodeSplit
) -> NodeData:
    """Join inputs, labels and sides; the classes are the areas of the training side."""
    flat = np.concatenate(labels)
    sides = np.concatenate(split.sides)
    classes = np.unique(flat[sides == TRAIN])
    if classes.size < 2:
        raise SplitError("split", "train", found=f"{classes.size} areas", expected="two or more")
    position = np.searchsorted(classes, flat).clip(max=classes.size - 1)
    targets = np.where((flat > 0) & (classes[position] == flat), position, -1).astype(np.int64)
    adjacency = sp.block_diag([graph.adjacency for graph in graphs], format="csr")
    sizes = np.array([graph.n_nodes for graph in graphs], np.int64)
    columns = (np.concatenate(inputs.values), targets, sides)
    return NodeData(*columns, adjacency, sizes, classes.astype(np.int32), joined_positions(graphs))


def joined_positions(graphs: Sequence[CortexGraph]) -> Floats:
    """Return the positions of all graphs' nodes, (n, 3) float32."""
    return np.concatenate([graph.positions for graph in graphs]).astype(np.float32)


def same_labels(graphs: Sequence[CortexGraph]) -> None:
    """Raise SplitError unless all graphs share one label table."""
    for graph in graphs[1:]:
        if (graph.labels.indices, graph.labels.names) != (graphs[0].labels.indices, graphs[0].labels.names):
            found = f"a label table other than that of {graphs[0].name}"
            raise SplitError(
                graph.name, "labels.tsv", found=found, expected="one table", hint="build the graphs together"
            )


def drop_small_areas(
    graphs: Sequence[CortexGraph], labels: Sequence[NDArray[np.int32]], settings: ClassifyConfig
) -> tuple[list[NDArray[np.int32]], tuple[str, ...]]:
    """Take out areas with too few nodes on the training side or on an evaluation side (see `AreasConfig`)."""
    labels = list(labels)
    least = settings.areas.min_nodes
    if least <= AreasConfig().min_nodes:
        return labels, ()
    split = make_split(graphs, labels, settings.split, settings.seed)
    flat, sides = np.concatenate(labels), np.concatenate(split.sides)
    size = int(flat.max()) + 1
    few = np.zeros(size, bool)
    is_training_side = (sides == TRAIN) | (sides == VALIDATION)
    for side in (is_training_side, *(sides == name for name in split.evaluations)):
        few |= np.bincount(flat[side], minlength=size) < least
    few[0] = False
    dropped = np.intersect1d(np.flatnonzero(few), flat)
    if not dropped.size:
        return labels, ()
    names = ", ".join(graphs[0].labels.name(int(label)) for label in dropped)
    note = f"areas with fewer than {least} nodes on some side count as unlabelled: {names}"
    return [np.where(few[values], 0, values).astype(np.int32) for values in labels], (note,)


def class_notes(data: NodeData, labels: Sequence[NDArray[np.int32]], table: LabelTable) -> tuple[str, ...]:
    """Say which areas cannot be learnt or tested, and which rest on one node."""
    flat = np.concatenate(labels)
    notes = []
    counts = np.bincount(data.targets[data.is_train], minlength=data.classes.size)
    single = [table.name(int(label)) for label in data.classes[counts == 1]]
    if single:
        notes.append(f"areas with a single training node: {', '.join(single)}")
    for side in [s for s in ("seen", "transfer", "unseen", "test") if (data.sides == s).any()]:
        on_side = data.sides == side
        untrained = np.unique(flat[on_side & (data.targets < 0)])
        if untrained.size:
            names = ", ".join(table.name(int(label)) for label in untrained)
            n = int((on_side & (data.targets < 0)).sum())
            notes.append(f"{side}: {n} nodes of areas without training nodes are left out of the scores: {names}")
        missing = np.setdiff1d(data.classes, flat[on_side])
        if missing.size:
            names = ", ".join(table.name(int(label)) for label in missing)
            notes.append(f"{side}: trained areas without test nodes, not in macro-F1: {names}")
    return tuple(notes)
