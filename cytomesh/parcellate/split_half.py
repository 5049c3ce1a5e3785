"""Features of half of the sections, and features that know nothing: what a parcellation is repeated on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.random import generator
from cytomesh.graph.neighbourhoods import fill_rings
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import PreparationConfig
from cytomesh.parcellate.features import NodeFeatures

MIN_SECTIONS = 4
SLAB_MM = 2.0


def node_units(graph: CortexGraph, features: NodeFeatures) -> tuple[NDArray[np.int64], str]:
    """Return a number for the section that each parcellated node is linked to, in the order of the stack.

    Graphs whose nodes name fewer than four sections (features from a volume) are cut into coronal slabs of 2 mm in
    their place; neighbouring slabs share more than neighbouring sections do.

    Returns
    -------
    units : (m,) int64
        From 0 without gaps; -1 at imputed nodes, which hold a mixture.
    kind : str
        "sections" or "slabs".
    """
    section = graph.section[features.nodes]
    is_known = ~features.is_imputed
    kind = "sections" if len(np.unique(section[is_known & (section >= 0)])) >= MIN_SECTIONS else "slabs"
    if kind == "slabs":
        section = np.floor(features.positions[:, 1] / SLAB_MM).astype(np.int64)
    else:
        is_known &= section >= 0
    units = np.full(len(section), -1, np.int64)
    units[is_known] = np.unique(section[is_known], return_inverse=True)[1]
    return units, kind


def first_half(units: NDArray[np.int64], split: int, seed: int) -> NDArray[np.bool_]:
    """Return which nodes belong to the first half of the units: every other one, from the second split on at random.

    Nodes without a unit belong to neither half; the second half is the rest.
    """
    n = int(units.max()) + 1
    chosen = np.arange(n) % 2 == 0
    if split:
        chosen = generator(seed, "halves", split).permutation(chosen)
    return (units >= 0) & chosen[units]


def from_nodes(features: NodeFeatures, is_own: NDArray[np.bool_], preparation: PreparationConfig) -> NodeFeatures:
    """Forget the features of all nodes but some, impute them from those, and smooth; not whitened yet.

    Parameters
    ----------
    is_own : (m,) bool
        Nodes whose features are kept. All nodes stay; the others take the mean of their neighbours, ring by ring.
    """
    # on an island of the mesh without a node of this half nothing is known: 0, the mean over the hemisphere
    rows, _ = fill_rings(features.standardised, is_own, features.adjacency)
    return replace(features, standardised=rows, values=features.smoothed(rows, preparation.hops), is_imputed=~is_own)


def noise_features(features: NodeFeatures, preparation: PreparationConfig, seed: int) -> NodeFeatures:
    """Put independent normal numbers in the place of the features, and smooth them alike; not whitened yet."""
    width = min(features.standardised.shape[1], preparation.n_factors)
    rows = generator(seed, "noise features").standard_normal((len(features.nodes), width))
    rows, _ = fill_rings(rows, ~features.is_imputed, features.adjacency)
    return replace(features, standardised=rows, values=features.smoothed(rows, preparation.hops))
