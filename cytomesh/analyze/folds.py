"""Folds for cross-validation: sections, blocks of cortex, hemispheres or brains as wholes, never single nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cytomesh.core.config import Config
from cytomesh.core.errors import SplitError
from cytomesh.core.random import generator
from cytomesh.graph.partition import partition
from cytomesh.graph.storage import CortexGraph

BLOCKS_PER_FOLD = 4


class FoldsConfig(Config):
    """How nodes are dealt to the folds of a cross-validation."""

    kind: Literal["section", "block", "hemisphere", "brain"] = "block"
    """`section`: nodes of one section stay together, neighbouring sections may not; `block`: compact pieces of cortex,
    four a fold; `hemisphere`, `brain`: as wholes."""
    n: int = Field(default=5, ge=2, le=1000)
    """Folds; fewer where there are fewer hemispheres, brains or sections."""


def make_folds(graphs: Sequence[CortexGraph], settings: FoldsConfig, seed: int) -> NDArray[np.int64]:
    """Return the fold of each node of the graphs, one after the other, (n,) int64.

    Raises
    ------
    SplitError
        If there are fewer than two groups.
    """
    groups = _groups(graphs, settings)
    _, group = np.unique(groups, return_inverse=True)
    n_groups = int(group.max()) + 1
    if n_groups < 2:
        found, hint = f"one {settings.kind} only, {groups[0]}", f"set folds.kind to another kind than '{settings.kind}'"
        raise SplitError("folds.kind", settings.kind, found=found, expected="two or more", hint=hint)
    dealt = np.empty(n_groups, np.int64)
    dealt[generator(seed, "folds").permutation(n_groups)] = np.arange(n_groups) % settings.n
    return np.asarray(dealt[group])


def _groups(graphs: Sequence[CortexGraph], settings: FoldsConfig) -> NDArray[np.str_]:
    """Name the group of each node."""
    found = []
    n_nodes = sum(graph.n_nodes for graph in graphs)
    for graph in graphs:
        if settings.kind == "block":
            names = np.empty(graph.n_nodes, dtype="U64")
            most = -(-n_nodes // (BLOCKS_PER_FOLD * settings.n))
            for number, part in enumerate(partition(graph.mesh.vertices, graph.adjacency, most, 0)):
                names[part.core] = f"{graph.name} {number}"
            found.append(names)
        elif settings.kind == "section":
            found.append(np.char.add(f"{graph.brain} ", graph.section.astype(str)))
        else:
            found.append(np.full(graph.n_nodes, graph.brain if settings.kind == "brain" else graph.name))
    return np.concatenate(found)
