"""The nodes that fine-tuning works on: graphs with training or validation labels, and no other label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.classify.assemble import class_targets, joined_adjacency
from cytomesh.classify.splits import TRAIN, VALIDATION, Split, make_split
from cytomesh.core.errors import SplitError
from cytomesh.graph.storage import CortexGraph


@dataclass(frozen=True, slots=True)
class TrainingNodes:
    """Nodes of all graphs with training or validation nodes, one graph after the other.

    Parameters
    ----------
    graphs : tuple of CortexGraph
    adjacency : (n, n) CSR
        Mesh edges; graphs are not joined.
    targets : (n,) int64
        Row of `classes` of training and validation nodes; -1 elsewhere, so that no other label can be learnt from.
    is_train, is_validation : (n,) bool
        Nodes with an image link, an area of the training side, and their part in the split.
    classes : (k,) int32
        Areas with training nodes, ascending.
    pool_row : (n,) int64
        Row of each node's patch in the pool; -1 without an image link.
    """

    graphs: tuple[CortexGraph, ...]
    adjacency: sp.csr_matrix
    targets: NDArray[np.int64]
    is_train: NDArray[np.bool_]
    is_validation: NDArray[np.bool_]
    classes: NDArray[np.int32]
    pool_row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


def involved_graphs(
    graphs: Sequence[CortexGraph], split: Split, seed: int
) -> list[tuple[CortexGraph, NDArray[np.str_]]]:
    """Return the graphs that have training or validation nodes, each with the side of its nodes."""
    sides = make_split(graphs, [graph.annotation for graph in graphs], split, seed).sides
    return [
        (graph, side) for graph, side in zip(graphs, sides, strict=True) if np.isin(side, (TRAIN, VALIDATION)).any()
    ]


def training_nodes(
    involved: Sequence[tuple[CortexGraph, NDArray[np.str_]]], pooled: Sequence[CortexGraph]
) -> TrainingNodes:
    """Join graphs to one set of nodes.

    Parameters
    ----------
    involved : sequence of (CortexGraph, (n,) str)
        See `involved_graphs`.
    pooled : sequence of CortexGraph
        The graphs whose linked nodes, in order, are the rows of the patch pool.

    Raises
    ------
    SplitError
        If there is nothing to learn from, or nothing to tell when to stop.
    """
    first_row = dict(
        zip([g.name for g in pooled], np.cumsum([0, *(int(g.is_linked.sum()) for g in pooled)]), strict=False)
    )
    graphs = [graph for graph, _ in involved]
    is_linked = np.concatenate([graph.is_linked for graph in graphs])
    pool_row = np.concatenate([first_row[graph.name] + np.cumsum(graph.is_linked) - 1 for graph in graphs])
    side = np.where(is_linked, np.concatenate([sides for _, sides in involved]), "")
    labels = np.where(np.isin(side, (TRAIN, VALIDATION)), np.concatenate([graph.annotation for graph in graphs]), 0)
    classes, targets = class_targets(labels, side == TRAIN)
    is_validation = (side == VALIDATION) & (targets >= 0)
    if not is_validation.any():
        hint = "give annotated sections of training brains the role val"
        raise SplitError("split", "validation", found="no labelled node", expected="some", hint=hint)
    return TrainingNodes(
        graphs=tuple(graphs),
        adjacency=joined_adjacency(graphs),
        targets=targets,
        is_train=side == TRAIN,
        is_validation=is_validation,
        classes=classes,
        pool_row=np.where(is_linked, pool_row, -1).astype(np.int64),
    )
