"""Nodes to look at one by one: which, and their patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.inspect.config import ExamplesConfig
from cytomesh.analyze.inspect.nodes import LinkedNodes
from cytomesh.core.errors import AtlasError, ConfigError
from cytomesh.core.random import generator
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.pyramid import open_image
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.patches import read_section
from cytomesh.pretrain.pool import graph_sections
from cytomesh.study.sections import Section
from cytomesh.study.study import Study

COLON = ":"


def choose_examples(nodes: LinkedNodes, settings: ExamplesConfig, seed: int) -> NDArray[np.int64]:
    """Return the rows of the nodes that are named, and of some of each area, brains in turn, (m,) int64.

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
    return np.array(list(dict.fromkeys(chosen)), np.int64)


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
    graph, colon, number = name.rpartition(COLON)
    names = [own.name for own in nodes.graphs]
    row = nodes.row(names.index(graph), int(number)) if graph in names and number.isdecimal() else -1
    if row < 0:
        expected = f"GRAPH:NODE of a linked node, graphs: {', '.join(names)}"
        raise ConfigError("examples.nodes", name, found="no such node" if colon else "no colon", expected=expected)
    return row


def sections_of(study: Study, nodes: LinkedNodes, rows: NDArray[np.int64]) -> list[Section]:
    """Return the sections that some nodes are linked to."""
    pairs = {(nodes.brain[row], int(nodes.graphs[nodes.graph[row]].section[nodes.node[row]])) for row in rows}
    return [study.brain(brain).section(index) for brain, index in sorted(pairs)]


def read_examples(
    study: Study, nodes: LinkedNodes, rows: NDArray[np.int64], size_px: int, um_per_px: float
) -> NDArray[np.uint8]:
    """Return the patches of some nodes, (m, c, s, s) uint8, pial side up."""
    patches: dict[int, NDArray[np.uint8]] = {}
    settings = PatchConfig(size_px=size_px, um_per_px=um_per_px, border_px=0)
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
            with open_image(part.image) as image:
                read = read_section(image, part, settings, places)
            found |= dict(zip(part.rows[places].tolist(), read, strict=True))
    return found
