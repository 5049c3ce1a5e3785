"""The nodes that features are looked at: all linked nodes of all graphs, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.folds import make_folds
from cytomesh.analyze.inspect.config import AREA, BRAIN, InspectConfig
from cytomesh.analyze.measures import check_columns
from cytomesh.analyze.variation import target_values
from cytomesh.core.errors import FeatureError
from cytomesh.graph.features import load_features, refuse_other_widths
from cytomesh.graph.storage import CortexGraph


@dataclass(frozen=True, slots=True)
class LinkedNodes:
    """Linked nodes of several graphs.

    Parameters
    ----------
    graphs : tuple of CortexGraph
    graph, node : (n,) int64
        Number of the graph, and of the node within it.
    features : (n, d) float32
    brain : (n,) str
    area : (n,) int32
        Annotation, 0 without.
    reference : (n, 3) float64
        Reference space, mm, mirrored to one side.
    fold : (n,) int64
    """

    graphs: tuple[CortexGraph, ...]
    graph: NDArray[np.int64]
    node: NDArray[np.int64]
    features: NDArray[np.float32]
    brain: NDArray[np.str_]
    area: NDArray[np.int32]
    reference: NDArray[np.float64]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.node)

    @property
    def graph_names(self) -> NDArray[np.str_]:
        """Name of the graph of each node, (n,) str."""
        return np.array([graph.name for graph in self.graphs])[self.graph]

    @property
    def area_names(self) -> NDArray[np.str_]:
        """Name of the area of each node, (n,) str; "none" without."""
        table = self.graphs[0].labels
        known, place = np.unique(self.area, return_inverse=True)
        return np.array([table.name(int(index)) for index in known])[place]

    @property
    def hemisphere_area(self) -> NDArray[np.int64]:
        """Number of each node's area that tells hemispheres apart, (n,) int64; 0 without: 2 a for left, 2 a + 1."""
        is_right = np.array([graph.hemisphere == "R" for graph in self.graphs])[self.graph]
        return np.where(self.area > 0, 2 * self.area.astype(np.int64) + is_right, 0)

    def row(self, graph: int, node: int) -> int:
        """Return the row of a node, -1 if it is not linked."""
        found = np.flatnonzero((self.graph == graph) & (self.node == node))
        return int(found[0]) if found.size else -1


def linked_nodes(run: Path, name: str, graphs: Sequence[CortexGraph], settings: InspectConfig) -> LinkedNodes:
    """Read the features of all graphs into memory.

    Raises
    ------
    FeatureError
        If there is one column only, whose directions are two at most.
    MissingStageError, FeatureError, SplitError
        As `load_features` and `make_folds`.
    """
    parts = [load_features(run, name, graph) for graph in graphs]
    refuse_other_widths(name, parts, graphs)
    if parts[0].shape[1] < 2:
        hint = "compare numbers by 'cytomesh variation' or 'cytomesh classify'"
        expected = "two or more: nodes are compared by the direction of their features"
        raise FeatureError("features", name, found="one column", expected=expected, hint=hint)
    linked = [graph.is_linked for graph in graphs]
    features = np.concatenate([part[mask] for part, mask in zip(parts, linked, strict=True)]).astype(np.float32)
    if settings.centred:
        features -= features.mean(axis=0, dtype=np.float64).astype(np.float32)
    sizes = [int(mask.sum()) for mask in linked]
    return LinkedNodes(
        tuple(graphs),
        np.repeat(np.arange(len(graphs)), sizes),
        np.concatenate([np.flatnonzero(mask) for mask in linked]),
        features,
        np.repeat([graph.brain for graph in graphs], sizes),
        np.concatenate([graph.annotation[mask] for graph, mask in zip(graphs, linked, strict=True)]),
        np.concatenate([graph.mirrored_reference[mask] for graph, mask in zip(graphs, linked, strict=True)]),
        make_folds(graphs, settings.folds, settings.seed)[np.concatenate(linked)],
    )


def colour_columns(
    run: Path, nodes: LinkedNodes, names: Sequence[str], rows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Return what some nodes are coloured by, one column per name: str for areas and brains, float64 for all others."""
    numbers = [name for name in names if name not in (AREA, BRAIN)]
    values = [target_values(run, graph, numbers)[graph.is_linked] if numbers else None for graph in nodes.graphs]
    found: dict[str, NDArray[Any]] = {AREA: nodes.area_names[rows], BRAIN: nodes.brain[rows]}
    if numbers:
        found |= dict(zip(numbers, np.concatenate([v for v in values if v is not None])[rows].T, strict=True))
    return {name: found[name] for name in names}


def check_colours(graphs: Sequence[CortexGraph], names: Sequence[str]) -> None:
    """Raise ConfigError, with the nearest name, if the map is to be coloured by what a graph does not have."""
    check_columns(graphs, names, "map.colour_by", (AREA, BRAIN))
