"""The most similar nodes of other brains: whether the same cortex is found again in somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from cytomesh.core.errors import FeatureError


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest nodes of one brain to some nodes of others.

    Parameters
    ----------
    brain : str
        Whose nodes are found.
    queries : (q,) int64
        Rows of nodes of other brains.
    nodes : (q, k) int64
        Rows of the nearest nodes of this brain, most similar first.
    similarity : (q, k) float64
        Cosine.
    """

    brain: str
    queries: NDArray[np.int64]
    nodes: NDArray[np.int64]
    similarity: NDArray[np.float64]


def neighbours_across(
    features: NDArray[Any], brains: NDArray[np.str_], queries: NDArray[np.int64], k: int
) -> list[Neighbours]:
    """Find the k most similar nodes in each brain for the queries of all other brains.

    Parameters
    ----------
    features : (n, d) float
        Finite.
    brains : (n,) str
    queries : (q,) int64
        Rows.
    k : int
        Fewer where a brain has fewer nodes.

    Returns
    -------
    list of Neighbours
        One per brain, sorted by name; none of a brain that all queries are of.

    Raises
    ------
    FeatureError
        If all nodes are of one brain.
    """
    names = np.unique(brains)
    if len(names) < 2:
        found = f"nodes of one brain, {names[0]}" if len(names) else "no node"
        raise FeatureError("neighbours across brains", found=found, expected="two brains or more")
    result = []
    for name in names:
        there, asked = np.flatnonzero(brains == name), queries[brains[queries] != name]
        if not asked.size:
            continue
        finder = NearestNeighbors(n_neighbors=min(k, len(there)), metric="cosine", algorithm="brute")
        distance, nearest = finder.fit(features[there]).kneighbors(features[asked])
        result.append(Neighbours(str(name), asked, there[nearest], 1 - distance))
    return result


@dataclass(frozen=True, slots=True)
class Correspondence:
    """Whether the nearest node of another brain is the same cortex.

    Parameters
    ----------
    same_area : float
        Share of annotated nodes whose nearest annotated node in each other brain has their area; NaN without any.
    same_area_chance : float
        That share for annotated nodes drawn at random there.
    distance_mm : float
        Median distance of a node and its nearest nodes of other brains in reference space.
    distance_chance_mm : float
        The same for nodes drawn at random.
    n_pairs : int
    """

    same_area: float
    same_area_chance: float
    distance_mm: float
    distance_chance_mm: float
    n_pairs: int


def correspondence(
    features: NDArray[Any],
    brains: NDArray[np.str_],
    labels: NDArray[np.integer],
    reference: NDArray[np.float64],
    queries: NDArray[np.int64],
    random: np.random.Generator,
) -> Correspondence:
    """Compare nodes with their nearest one in each other brain.

    Parameters
    ----------
    features : (n, d) float
        Finite.
    brains : (n,) str
    labels : (n,) int
        0 for none. Where areas are compared, only annotated nodes are found.
    reference : (n, 3) float64
        Reference space, mm, hemispheres mirrored onto each other.
    queries : (q,) int64
        Rows.
    random : Generator
        Draws the nodes that stand for chance.

    Raises
    ------
    FeatureError
        If all nodes are of one brain.
    """
    near, far = [], []
    for found in neighbours_across(features, brains, queries, 1):
        drawn = random.choice(np.flatnonzero(brains == found.brain), len(found.queries))
        near.append(np.linalg.norm(reference[found.queries] - reference[found.nodes[:, 0]], axis=1))
        far.append(np.linalg.norm(reference[found.queries] - reference[drawn], axis=1))
    same, chance = _same_areas(features, brains, labels, queries)
    distances, by_chance = np.concatenate(near), np.concatenate(far)
    return Correspondence(same, chance, float(np.median(distances)), float(np.median(by_chance)), len(distances))


def _same_areas(
    features: NDArray[Any], brains: NDArray[np.str_], labels: NDArray[np.integer], queries: NDArray[np.int64]
) -> tuple[float, float]:
    rows = np.flatnonzero(labels > 0)
    asked = np.flatnonzero(np.isin(rows, queries))
    if len(np.unique(brains[rows])) < 2 or not asked.size:
        return np.nan, np.nan
    own, area = brains[rows], labels[rows]
    same, chance = [], []
    for found in neighbours_across(features[rows], own, asked, 1):
        there = area[own == found.brain]
        share = dict(zip(*np.unique(there, return_counts=True), strict=True))
        same.append(area[found.queries] == area[found.nodes[:, 0]])
        chance.append([share.get(wanted, 0) / len(there) for wanted in area[found.queries]])
    return float(np.concatenate(same).mean()), float(np.concatenate(chance).mean())
