"""From graphs to the nodes that a model is given: sides, classes, inputs, edges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.classify.config import AreasConfig, ClassifyConfig
from cytomesh.classify.edges import edge_attributes
from cytomesh.classify.graph_layer import NetworkConfig
from cytomesh.classify.inputs import NodeInputs, prepare_inputs
from cytomesh.classify.kinds import classifier_kind
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import join
from cytomesh.classify.splits import NONE, TRAIN, VALIDATION, NodeSplit, make_split
from cytomesh.classify.unknown import left_out_labels
from cytomesh.core.counted import counted
from cytomesh.core.errors import ConfigError, SplitError
from cytomesh.core.labels import LabelTable
from cytomesh.core.provenance import said
from cytomesh.core.sides import IN_AREAS, side_of
from cytomesh.graph.neighbourhoods import Floats, Mask
from cytomesh.graph.storage import CortexGraph
from cytomesh.register.carry import common_places


def assemble(
    run: Path,
    graphs: Sequence[CortexGraph],
    labels: Sequence[NDArray[np.int32]],
    settings: ClassifyConfig,
    scratch: Path | None = None,
) -> tuple[NodeData, NodeInputs, tuple[str, ...]]:
    """Split the labelled nodes, choose the classes and prepare the inputs.

    Parameters
    ----------
    scratch : Path, optional
        See `prepare_inputs`.

    Returns
    -------
    data, inputs : NodeData, NodeInputs
    notes : tuple of str
        What a reader of the scores should know.

    Raises
    ------
    SplitError
        If graphs have different label tables, or no node of an evaluation side belongs to a trained area.
    """
    same_labels(graphs)
    labels, split, dropped = split_nodes(graphs, labels, settings)
    inputs = prepare_inputs(run, graphs, split.masks(TRAIN), settings.inputs, scratch=scratch)
    if not isinstance(inputs.values[0], np.ndarray):
        _works_in_parts(settings)
    places = common_places(run, settings.prior.registration, graphs) if settings.prior.registration else None
    edges = settings.model.edge_attributes if settings.model else ()
    data = with_split(inputs, graphs, labels, split, edges, places)
    for side in split.evaluations:
        if (data.sides == side).any() and not data.evaluated(side).any():
            raise _other_areas(graphs[0].labels, side, np.concatenate(labels)[data.sides == side], data.classes)
    return data, inputs, (*split.notes, *dropped, *inputs.notes, *class_notes(data, labels, graphs[0].labels))


def _other_areas(table: LabelTable, side: str, here: NDArray[np.int32], trained: NDArray[np.int32]) -> SplitError:
    """Return the error of a side without a node of a trained area: which areas are where."""
    names = [[table.name(label) for label in np.unique(labels[labels > 0]).tolist()] for labels in (here, trained)]
    by_side = all(side_of(name, IN_AREAS) for of_side in names for name in of_side)
    some, known = map(said, names)
    same = "give areas of both sides one name in the label table of the annotation, and make the graphs again"
    return SplitError(
        "split",
        side,
        found=f"no node of a trained area: {some}",
        expected=f"areas of the training side: {known}",
        hint=f"areas are named by their side: {same}" if by_side else "split otherwise, or annotate the same areas",
    )


def split_nodes(
    graphs: Sequence[CortexGraph], labels: Sequence[NDArray[np.int32]], settings: ClassifyConfig
) -> tuple[list[NDArray[np.int32]], NodeSplit, tuple[str, ...]]:
    """Return labels and sides without areas that are too small, or not to be learnt, and notes on the former.

    Raises
    ------
    ConfigError
        If no two areas are left.
    """
    labels, dropped = drop_small_areas(graphs, labels, settings)
    split = make_split(graphs, labels, settings.split, settings.seed)
    if settings.areas.leave_out:
        left_out = left_out_labels(settings.areas.leave_out, graphs[0].labels)
        for of_graph, sides in zip(labels, split.sides, strict=True):
            sides[np.isin(of_graph, left_out) & np.isin(sides, [TRAIN, VALIDATION])] = NONE
        n_left = np.unique(np.concatenate(labels)[np.concatenate(split.masks(TRAIN))]).size
        if n_left < 2:
            found = f"{counted(n_left, 'area')} left on the training side"
            raise ConfigError("areas.leave_out", found=found, expected="two or more")
    return labels, split, dropped


def _works_in_parts(settings: ClassifyConfig) -> None:
    """Raise ConfigError if the model wants all inputs in memory at once."""
    model, found = settings.one_model, f"inputs larger than {settings.inputs.memory_gib:g} GiB"
    if not classifier_kind(model).reads_in_parts:
        hint = "choose a network or lda, or raise inputs.memory_gib if there is more memory"
        raise ConfigError("model.kind", model.kind, found=found, expected="less", hint=hint)
    if isinstance(model, NetworkConfig) and settings.training.part_nodes is None and model.discriminant is None:
        hint = "set it to as many nodes as fit into memory with all their inputs, e.g. 50000"
        raise ConfigError("training.part_nodes", found=f"all nodes at once, with {found}", expected="parts", hint=hint)


def with_split(
    inputs: NodeInputs,
    graphs: Sequence[CortexGraph],
    labels: Sequence[NDArray[np.int32]],
    split: NodeSplit,
    edges: Sequence[str] = (),
    places: Floats | None = None,
) -> NodeData:
    """Join inputs, labels and sides; the classes are the areas of the training side.

    Parameters
    ----------
    edges : sequence of str
        Attributes of edges.
    places : (n, 3) float32, optional
        Of all nodes on the registered sphere.
    """
    flat = np.concatenate(labels)
    sides = np.concatenate(split.sides)
    classes, targets = class_targets(flat, sides == TRAIN)
    sizes = np.array([graph.n_nodes for graph in graphs], np.int64)
    joined = join(inputs.values)
    adjacency, positions = joined_adjacency(graphs), joined_positions(graphs)
    attributes = edge_attributes(graphs, joined, adjacency, edges)
    is_open = np.concatenate([_open_nodes(graph, side) for graph, side in zip(graphs, split.sides, strict=True)])
    maps = class_maps(graphs, classes)
    linked = np.concatenate([graph.is_linked for graph in graphs])
    facts = (classes, positions, maps, is_open, attributes, linked, brain_numbers(graphs), places)
    return NodeData(joined, targets, sides, adjacency, sizes, *facts)


def class_targets(labels: NDArray[np.int32], is_train: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the areas of the training nodes, ascending, and the position of each node's area among them, else -1.

    Raises
    ------
    SplitError
        If there are fewer than two areas.
    """
    classes = np.unique(labels[is_train])
    if classes.size < 2:
        raise SplitError("split", "train", found=counted(classes.size, "area"), expected="two or more")
    position = np.searchsorted(classes, labels).clip(max=classes.size - 1)
    targets = np.where((labels > 0) & (classes[position] == labels), position, -1)
    return classes.astype(np.int32), targets.astype(np.int64)


def _open_nodes(graph: CortexGraph, sides: NDArray[np.str_]) -> Mask:
    if graph.brain_role == "unseen" or (sides == "test").any():
        return np.zeros(graph.n_nodes, bool)
    return np.asarray(graph.is_linked & ((sides == NONE) | (sides == "transfer")))


def class_maps(graphs: Sequence[CortexGraph], classes: NDArray[np.int32]) -> sp.csr_matrix | None:
    """Return the columns of the probability maps that belong to the classes, (n, k) CSR; None if a graph lacks them."""
    maps = [graph.pmap for graph in graphs]
    if any(pmap is None for pmap in maps):
        return None
    columns = graphs[0].labels.columns(classes)
    return sp.vstack([pmap[:, columns] for pmap in maps if pmap is not None], format="csr")


def joined_adjacency(graphs: Sequence[CortexGraph]) -> sp.csr_matrix:
    """Return the edges of all graphs, (n, n) CSR, block by block."""
    return sp.block_diag([graph.adjacency for graph in graphs], format="csr")


def joined_positions(graphs: Sequence[CortexGraph]) -> Floats:
    """Return the positions of all graphs' nodes, (n, 3) float32."""
    return np.concatenate([graph.positions for graph in graphs]).astype(np.float32)


def brain_numbers(graphs: Sequence[CortexGraph]) -> NDArray[np.int64]:
    """Return the number of each node's brain, (n,)."""
    names = sorted({graph.brain for graph in graphs})
    return np.concatenate([np.full(graph.n_nodes, names.index(graph.brain)) for graph in graphs])


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
    areas, position = np.unique(flat, return_inverse=True)  # labels may be large numbers: never an array's size
    is_training_side = (sides == TRAIN) | (sides == VALIDATION)
    few = np.zeros(areas.size, bool)
    for side in (is_training_side, *(sides == name for name in split.evaluations)):
        few |= np.bincount(position[side], minlength=areas.size) < least
    dropped = areas[few & (areas > 0)]
    if not dropped.size:
        return labels, ()
    names = ", ".join(graphs[0].labels.name(int(label)) for label in dropped)
    note = f"areas with fewer than {least} nodes on some side count as unlabelled: {names}"
    return [np.where(np.isin(values, dropped), 0, values).astype(np.int32) for values in labels], (note,)


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
            nodes = counted(int((on_side & (data.targets < 0)).sum()), "node")
            notes.append(f"{side}: {nodes} of areas without training nodes are left out of the scores: {names}")
        missing = np.setdiff1d(data.classes, flat[on_side])
        if missing.size:
            names = ", ".join(table.name(int(label)) for label in missing)
            notes.append(f"{side}: trained areas without test nodes, not in macro-F1: {names}")
    return tuple(notes)
