"""Parcels of one graph, or of several that are parcellated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.counted import counted
from cytomesh.core.errors import QualityError
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.features import NodeFeatures, whiten
from cytomesh.parcellate.joint import JointFeatures, connect_in_part, join_graphs
from cytomesh.parcellate.method import METHODS
from cytomesh.parcellate.methods import divide


@dataclass(frozen=True, slots=True)
class GroupParcels:
    """Parcels of the graphs of a group.

    Parameters
    ----------
    labels : tuple of (m,) int64
        Of each graph; the same label in two graphs is the same parcel.
    facts : dict
        What the method has to say about itself.
    """

    labels: tuple[NDArray[np.int64], ...]
    facts: dict[str, float]


def join_parts(
    graphs: Sequence[CortexGraph], parts: Sequence[NodeFeatures], settings: ParcellateConfig
) -> JointFeatures:
    """Whiten the smoothed features of the graphs together, and join the graphs."""
    return join_graphs(graphs, whiten(parts, settings.preparation), settings.joint)


def parcellate_joint(joint: JointFeatures, k: int, settings: ParcellateConfig, source: str) -> GroupParcels:
    """Divide the graphs of a group into k parcels by the method of the settings, each connected in each graph.

    Raises
    ------
    QualityError
        If a parcel is not connected or an eigenvector is wrong.
    """
    found = divide(joint.features, settings.one_method, k, settings, source)
    shares = joint.split(found.labels)
    if METHODS[settings.one_method].is_connected:
        if len(joint.parts) > 1:
            first_free = int(found.labels.max()) + 1
            for i, part in enumerate(joint.parts):
                shares[i] = connect_in_part(shares[i], part, settings.min_nodes, first_free)
                first_free = max(first_free, int(shares[i].max()) + 1)
        for labels, part in zip(shares, joint.parts, strict=True):
            check_connected(labels, part, source)
    return GroupParcels(tuple(shares), found.facts)


def from_the_front(labels: NDArray[np.int64], positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return labels 1..k counted from the front to the back of the brain (y descending)."""
    _, labels = np.unique(labels, return_inverse=True)
    means = np.bincount(labels, positions[:, 1]) / np.bincount(labels)
    rank = np.empty(len(means), np.int64)
    rank[np.argsort(-means, kind="stable")] = np.arange(1, len(means) + 1)
    return rank[labels]


def check_connected(labels: NDArray[np.int64], features: NodeFeatures, source: str) -> None:
    """Raise QualityError if a parcel lies in several pieces."""
    n_pieces, n_parcels = int(pieces(labels, features.adjacency).max()) + 1, len(np.unique(labels))
    if n_pieces != n_parcels:
        found = f"{counted(n_parcels, 'parcel')} in {counted(n_pieces, 'piece')}"
        raise QualityError(source, "parcels", found=found, expected="every parcel connected", hint="report this")
