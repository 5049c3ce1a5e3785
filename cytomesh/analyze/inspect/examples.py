"""Nodes to look at one by one: which, their neighbours in other brains, and their patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.config import ExamplesConfig
from cytomesh.analyze.inspect.neighbours import neighbours_across
from cytomesh.analyze.inspect.nodes import LinkedNodes
from cytomesh.core.errors import AtlasError, ConfigError, did_you_mean
from cytomesh.core.random import generator
from cytomesh.core.tables import Table, write_table
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.pyramid import open_section
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.patches import read_section
from cytomesh.pretrain.pool import graph_sections
from cytomesh.study.study import Study


@dataclass(frozen=True, slots=True)
class Examples:
    """Nodes that are shown.

    Parameters
    ----------
    rows : (m,) int64
        Among the linked nodes; the first `n` are the examples, the others their neighbours.
    n : int
    query, neighbour : (p,) int64
        Positions in `rows` of an example and of a node near to it.
    rank : (p,) int64
        1 for the nearest node of its brain.
    similarity : (p,) float64
        Cosine.
    """

    rows: NDArray[np.int64]
    n: int
    query: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    rank: NDArray[np.int64]
    similarity: NDArray[np.float64]


def choose_examples(nodes: LinkedNodes, settings: ExamplesConfig, seed: int) -> Examples:
    """Take the nodes that are named and some of each area, brains in turn, and their neighbours in other brains.

    Raises
    ------
    ConfigError
        If an area or a node is not there.
    """
    chosen = [_named(nodes, name) for name in settings.nodes]
    random = generator(seed, "examples")
    for area in _areas(nodes, settings):
        rows = random.permutation(np.flatnonzero(nodes.area == area))
        turn = np.zeros(len(rows), np.int64)
        for brain in np.unique(nodes.brain[rows]):
            own = nodes.brain[rows] == brain
            turn[own] = np.arange(own.sum())
        chosen += rows[np.argsort(turn, kind="stable")][: settings.per_area].tolist()
    return _with_neighbours(nodes, np.array(list(dict.fromkeys(chosen)), np.int64), settings.neighbours)


def _areas(nodes: LinkedNodes, settings: ExamplesConfig) -> list[int]:
    labels = nodes.graphs[0].labels
    found, counts = np.unique(nodes.area[nodes.area > 0], return_counts=True)
    if not settings.areas:
        return sorted(found[np.argsort(-counts, kind="stable")][: settings.n_areas].tolist())
    wanted = []
    for name in settings.areas:
        try:
            wanted.append(labels.index(name))
        except AtlasError as error:
            raise error.within("examples.areas", ConfigError) from error
        if wanted[-1] not in found:
            raise ConfigError("examples.areas", name, found="no linked node of this area")
    return wanted


def _named(nodes: LinkedNodes, name: str) -> int:
    graph, _, number = name.rpartition(":")
    names = [own.name for own in nodes.graphs]
    row = nodes.row(names.index(graph), int(number)) if graph in names and number.isdecimal() else -1
    if row < 0:
        expected = f"GRAPH:NODE of a linked node, graphs: {', '.join(names)}"
        hint = "" if graph in names else did_you_mean(graph, names)
        raise ConfigError("examples.nodes", name, found="no such node", expected=expected, hint=hint)
    return row


def _with_neighbours(nodes: LinkedNodes, examples: NDArray[np.int64], k: int) -> Examples:
    found = neighbours_across(nodes.features, nodes.brain, examples, k) if len(np.unique(nodes.brain)) > 1 else []
    n_pairs = [len(part.queries) * part.nodes.shape[1] for part in found]
    if not sum(n_pairs):
        none = np.zeros(0, np.int64)
        return Examples(examples, len(examples), none, none, none, np.zeros(0))
    query = np.concatenate([np.repeat(part.queries, part.nodes.shape[1]) for part in found])
    near = np.concatenate([part.nodes.ravel() for part in found])
    rank = np.concatenate([np.tile(np.arange(1, part.nodes.shape[1] + 1), len(part.queries)) for part in found])
    similarity = np.concatenate([part.similarity.ravel() for part in found])
    rows = np.array(list(dict.fromkeys([*examples.tolist(), *near.tolist()])), np.int64)
    place = {row: i for i, row in enumerate(rows.tolist())}
    at_query, at_near = (np.array([place[row] for row in some.tolist()]) for some in (query, near))
    order = np.argsort(at_query, kind="stable")
    return Examples(rows, len(examples), at_query[order], at_near[order], rank[order], similarity[order])


def write_examples(folder: Path, nodes: LinkedNodes, examples: Examples) -> None:
    """Write `examples.parquet`, one row a node that is shown, and `neighbours.parquet`, one row a pair of them."""
    rows = examples.rows
    columns = {
        "graph": nodes.graph_names[rows],
        "node": nodes.node[rows],
        "brain": nodes.brain[rows],
        "area": nodes.area_names[rows],
        "is_example": np.arange(len(rows)) < examples.n,
    }
    write_table(folder / "examples.parquet", Table(columns))
    ends = (nodes.reference[rows[side]] for side in (examples.query, examples.neighbour))
    pairs = {
        "example": examples.query,
        "neighbour": examples.neighbour,
        "rank": examples.rank,
        "similarity": examples.similarity,
        "distance_mm": np.linalg.norm(next(ends) - next(ends), axis=1),
    }
    write_table(folder / "neighbours.parquet", Table(pairs, {"distance_mm": "mm"}))


def read_patches_of(
    study: Study, nodes: LinkedNodes, rows: NDArray[np.int64], settings: PatchConfig
) -> NDArray[np.uint8]:
    """Return the patches of some nodes, (m, c, s, s) uint8, pial side up, without the border of training."""
    settings = settings.model_copy(update={"border_px": 0})
    patches: dict[int, NDArray[np.uint8]] = {}
    for number, graph in enumerate(nodes.graphs):
        wanted = {int(nodes.node[row]): int(row) for row in rows if nodes.graph[row] == number}
        patches |= {wanted[node]: patch for node, patch in _of_graph(study, graph, sorted(wanted), settings).items()}
    return np.stack([patches[int(row)] for row in rows])


def _of_graph(
    study: Study, graph: CortexGraph, wanted: Sequence[int], settings: PatchConfig
) -> dict[int, NDArray[np.uint8]]:
    found: dict[int, NDArray[np.uint8]] = {}
    for part in graph_sections(study, graph) if wanted else []:
        places = np.flatnonzero(np.isin(part.rows, wanted))
        if places.size:
            with open_section(part.section) as image:
                read = read_section(image, part, settings, places)
            found |= dict(zip(part.rows[places].tolist(), read, strict=True))
    return found
