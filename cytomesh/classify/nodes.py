"""The nodes of all graphs that a model is given: inputs, classes and sides, and the mesh edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.classify.edges import kept_entries
from cytomesh.classify.out_of_core import Inputs, take
from cytomesh.classify.splits import TRAIN, VALIDATION
from cytomesh.graph.neighbourhoods import Floats, Mask

ScalarT = TypeVar("ScalarT", bound=np.generic)


@dataclass(frozen=True, slots=True)
class NodeData:
    """The nodes of several graphs, one after the other.

    Parameters
    ----------
    inputs : (n, d) float32
        An array, or `StoredInputs` where it would not fit into memory.
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
    maps : (n, k) CSR, optional
        Probability maps of the classes, where all graphs have them.
    is_open : (n,) bool, optional
        Nodes that may be given pseudo-labels: linked, without a side or on the transfer side, and in no hemisphere
        that is unseen or tested.
    edge_attributes : (e, a) float32, optional
        See `edge_attributes`, in the order of the adjacency's entries.
    is_linked : (n,) bool, optional
        Nodes with an image link; None: all.
    brains : (n,) int64, optional
        Number of each node's brain.
    places : (n, 3) float32, optional
        Unit vectors: where on the registered sphere nodes lie, right hemispheres mirrored on the left.
    """

    inputs: Inputs
    targets: NDArray[np.int64]
    sides: NDArray[np.str_]
    adjacency: sp.csr_matrix
    sizes: NDArray[np.int64]
    classes: NDArray[np.int32]
    positions: Floats
    maps: sp.csr_matrix | None = None
    is_open: Mask | None = None
    edge_attributes: Floats | None = None
    is_linked: Mask | None = None
    brains: NDArray[np.int64] | None = None
    places: Floats | None = None

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
        """Cut an array with one row per node into one array per graph."""
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
        columns = (take(self.inputs, keep), self.targets[keep], self.sides[keep])

        def kept(column: NDArray[ScalarT] | None) -> NDArray[ScalarT] | None:
            return None if column is None else column[keep]

        maps = None if self.maps is None else self.maps[keep]
        edges = None if self.edge_attributes is None else self.edge_attributes[kept_entries(self.adjacency, keep)]
        return NodeData(
            *columns,
            adjacency,
            sizes,
            self.classes,
            self.positions[keep],
            maps,
            kept(self.is_open),
            edges,
            kept(self.is_linked),
            kept(self.brains),
            kept(self.places),
        )
