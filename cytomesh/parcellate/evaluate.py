"""Scores of a parcellation, each with its null."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_mutual_info_score

from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.nulls import Nulls

MIN_NODES = 10


def agreement(parcels: NDArray[Any], areas: NDArray[Any]) -> dict[str, float]:
    """Compare two labelings over the nodes that have both.

    Parameters
    ----------
    parcels : (m,) int
        Any values; every node has one.
    areas : (m,) int
        0 where there is none; those nodes don't count.

    Returns
    -------
    dict
        ami, ari, nmi, homogeneity, completeness; empty if fewer than 10 nodes or two areas remain.
    """
    kept = areas > 0
    if kept.sum() < MIN_NODES or len(np.unique(areas[kept])) < 2:
        return {}
    truth, found = areas[kept], parcels[kept]
    table = contingency(truth, found)
    of_areas, of_parcels = _entropy(table.sum(axis=1)), _entropy(table.sum(axis=0))
    mutual = of_areas + of_parcels - _entropy(table)
    with warnings.catch_warnings():
        # scikit-learn guesses a regression target where nearly every node has a label of its own
        warnings.filterwarnings("ignore", message="The number of unique classes", category=UserWarning)
        ami = adjusted_mutual_info_score(truth, found)
    return {
        "ami": float(ami),
        "ari": _adjusted_rand(table),
        "nmi": mutual / max(0.5 * (of_areas + of_parcels), 1e-300),
        "homogeneity": mutual / of_areas,
        "completeness": mutual / of_parcels if of_parcels > 0 else 1.0,
    }


def contingency(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.int64]:
    """Count the nodes of every pair of labels, (labels of one, labels of two)."""
    rows, i = np.unique(one, return_inverse=True)
    columns, j = np.unique(two, return_inverse=True)
    shape = len(rows), len(columns)
    return np.bincount(i * shape[1] + j, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log(share)))


def _adjusted_rand(table: NDArray[np.int64]) -> float:
    """Compute the adjusted Rand index of a contingency table (Hubert & Arabie, Comparing partitions, 1985, eq. 5)."""
    both, rows, columns, everything = (
        float(np.sum(counts * (counts - 1.0)) / 2.0)
        for counts in (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    )
    expected = rows * columns / everything
    most = 0.5 * (rows + columns)
    return (both - expected) / (most - expected) if most != expected else 1.0


def scores_over_nulls(
    parcels: NDArray[np.int64], areas: NDArray[np.int32], nulls: Nulls
) -> dict[str, dict[str, float]]:
    """Score parcels against areas; every score comes with what chance and geometry alone give.

    A tiling of the cortex agrees with any other tiling: the score itself says little. `over_spin` is the score less its
    mean under rotated areas, in the unit of the score and (`over_spin_sd`) of the null's standard deviation;
    `over_geometry` is the margin over geometry-only parcels of the same number.

    Returns
    -------
    dict
        Per score: over_spin, over_spin_sd, score, spin_mean, spin_sd (where there are rotations); over_geometry,
        geometry_mean, geometry_sd. Empty if the hemisphere has no areas to compare with.
    """
    found = agreement(parcels, areas)
    if not found:
        return {}
    tilings = [agreement(tiling, areas) for tiling in nulls.tilings]
    spun = [row for row in (agreement(parcels, area) for area in nulls.spun) if row]
    result: dict[str, dict[str, float]] = {}
    for name, score in found.items():
        entry = {"score": score}
        geometry = np.array([row[name] for row in tilings])
        entry |= {"geometry_mean": float(geometry.mean()), "geometry_sd": float(geometry.std(ddof=1))}
        entry["over_geometry"] = score - entry["geometry_mean"]
        if len(spun) > 1:
            null = np.array([row[name] for row in spun])
            entry |= {"spin_mean": float(null.mean()), "spin_sd": float(null.std(ddof=1))}
            entry["over_spin"] = score - entry["spin_mean"]
            entry["over_spin_sd"] = entry["over_spin"] / max(entry["spin_sd"], 1e-12)
        result[name] = entry
    return result


def variance_explained(values: NDArray[np.float64], parcels: NDArray[np.int64]) -> float:
    """Share of the variance of (m, d) values that lies between parcels, 0..1."""
    _, labels = np.unique(parcels, return_inverse=True)
    count = np.bincount(labels)
    means = np.stack([np.bincount(labels, column) for column in values.T], axis=1) / count[:, None]
    within = float(np.sum((values - means[labels]) ** 2))
    return 1.0 - within / max(float(np.sum((values - values.mean(axis=0)) ** 2)), 1e-30)


def variance_over_geometry(
    values: NDArray[np.float64], parcels: NDArray[np.int64], tilings: Sequence[NDArray[np.int64]]
) -> dict[str, float]:
    """Share of variance between parcels, with that of geometry-only parcels of the same number."""
    geometry = np.array([variance_explained(values, tiling) for tiling in tilings])
    score = variance_explained(values, parcels)
    return {
        "score": score,
        "geometry_mean": float(geometry.mean()),
        "geometry_sd": float(geometry.std(ddof=1)),
        "over_geometry": score - float(geometry.mean()),
    }


def shape_facts(parcels: NDArray[np.int64], adjacency: sp.csr_matrix) -> dict[str, int]:
    """Count parcels, the connected pieces they consist of, and their nodes."""
    sizes = np.unique(parcels, return_counts=True)[1]
    return {
        "n_parcels": len(sizes),
        "n_pieces": int(pieces(parcels, adjacency).max()) + 1,
        "n_components": int(connected_components(adjacency, directed=False, return_labels=False)),
        "smallest_nodes": int(sizes.min()),
        "median_nodes": int(np.median(sizes)),
        "largest_nodes": int(sizes.max()),
    }
