"""Scores of a parcellation, each with its null."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_mutual_info_score

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.affinity import edge_list
from cytomesh.parcellate.border_distance import BorderDistance
from cytomesh.parcellate.connect import pieces, region_means, region_weights
from cytomesh.parcellate.features import NodeFeatures
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

    Raises
    ------
    GraphError
        If the two are not of the same nodes.
    """
    if np.shape(parcels) != np.shape(areas):
        shapes = f"{np.shape(parcels)} parcels and {np.shape(areas)} areas"
        raise GraphError("agreement", found=shapes, expected="both for the same nodes", hint="take labels of this mesh")
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
    parcels: NDArray[np.int64],
    areas: NDArray[np.int32],
    nulls: Nulls,
    lengths: sp.csr_matrix,
    tilings: Sequence[Mapping[str, float]] | None = None,
) -> dict[str, dict[str, float]]:
    """Score parcels against areas; every score comes with what chance and geometry alone give.

    A tiling of the cortex agrees with any other tiling: the score itself says little. `over_spin` is the score less its
    mean under rotated areas, in the unit of the score and (`over_spin_sd`) of the null's standard deviation;
    `over_geometry` is the margin over geometry-only parcels of the same number. Distances (`..._mm`) are turned round:
    positive is nearer than the null.

    Parameters
    ----------
    lengths : (m, m) CSR
        Lengths of the mesh edges, mm.
    tilings : sequence of scores, optional
        From `tiling_scores`, where several parcellations are compared with the same tilings.

    Returns
    -------
    dict
        Per score (those of `agreement`, `matched_dice` and `BorderDistance.to`): over_spin, over_spin_sd, score,
        spin_mean, spin_sd (where there are rotations); over_geometry, geometry_mean, geometry_sd. Empty if the
        hemisphere has no areas to compare with.
    """
    borders = BorderDistance(parcels, lengths)
    found = _scores(parcels, areas, borders)
    if not found:
        return {}
    tilings = tiling_scores(areas, nulls, lengths) if tilings is None else tilings
    spun = [row for row in (_scores(parcels, area, borders) for area in nulls.spun) if row]
    result: dict[str, dict[str, float]] = {}
    for name, score in found.items():
        sign = -1.0 if name.endswith("_mm") else 1.0
        entry = {"score": score}
        geometry = np.array([row[name] for row in tilings if name in row])
        entry |= {"geometry_mean": float(geometry.mean()), "geometry_sd": float(geometry.std(ddof=1))}
        entry["over_geometry"] = sign * (score - entry["geometry_mean"])
        null = np.array([row[name] for row in spun if name in row])
        if len(null) > 1:
            entry |= {"spin_mean": float(null.mean()), "spin_sd": float(null.std(ddof=1))}
            entry["over_spin"] = sign * (score - entry["spin_mean"])
            entry["over_spin_sd"] = entry["over_spin"] / max(entry["spin_sd"], 1e-12)
        result[name] = entry
    return result


def tiling_scores(areas: NDArray[np.int32], nulls: Nulls, lengths: sp.csr_matrix) -> list[dict[str, float]]:
    """Score the geometry-only parcels against areas."""
    return [_scores(tiling, areas, BorderDistance(tiling, lengths)) for tiling in nulls.tilings]


def matched_dice(parcels: NDArray[Any], areas: NDArray[Any]) -> dict[int, float]:
    """Match areas and parcels one to one so that the sum of Dice coefficients is largest; returns that of each area.

    Areas left without a parcel get 0. Only nodes with an area count.
    """
    kept = areas > 0
    table = contingency(areas[kept], parcels[kept]).astype(np.float64)
    dice = 2.0 * table / (table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True))
    rows, columns = linear_sum_assignment(-dice)
    result = dict.fromkeys(np.unique(areas[kept]).tolist(), 0.0)
    names = list(result)
    return result | {names[row]: float(dice[row, column]) for row, column in zip(rows, columns, strict=True)}


def _scores(parcels: NDArray[Any], areas: NDArray[Any], borders: BorderDistance) -> dict[str, float]:
    found = agreement(parcels, areas)
    if not found:
        return {}
    dice = matched_dice(parcels, areas)
    return {**found, "dice": float(np.mean(list(dice.values()))), **borders.to(areas)}


def variance_explained(values: NDArray[np.float64], parcels: NDArray[np.int64]) -> float:
    """Share of the variance of (m, d) values that lies between parcels, 0..1."""
    _, labels = np.unique(parcels, return_inverse=True)
    within = float(np.sum((values - region_means(values, labels)[labels]) ** 2))
    return 1.0 - within / max(float(np.sum((values - values.mean(axis=0)) ** 2)), 1e-30)


def border_contrast(values: NDArray[np.float64], parcels: NDArray[np.int64], adjacency: sp.csr_matrix) -> float:
    """Mean distance of values across borders over that inside parcels, between neighbouring nodes; 1: no contrast."""
    i, j = edge_list(adjacency)
    apart = np.linalg.norm(values[i] - values[j], axis=1)
    crossing = parcels[i] != parcels[j]
    if crossing.all() or not crossing.any():
        return 1.0
    return float(apart[crossing].mean() / max(apart[~crossing].mean(), 1e-30))


def graph_silhouette(values: NDArray[np.float64], parcels: NDArray[np.int64], adjacency: sp.csr_matrix) -> float:
    """Mean simplified silhouette in which only touching parcels compete, -1..1.

    (b - a) / max(a, b) with a the distance of a node to the mean of its own parcel and b that to the nearest mean among
    the parcels which touch it (Rousseeuw, Silhouettes, 1987, with means in place of members, and graph neighbours only:
    a parcel with a twin elsewhere in the cortex is not a bad one).
    """
    _, labels = np.unique(parcels, return_inverse=True)
    k = int(labels.max()) + 1
    means = region_means(values, labels)
    touching = region_weights(labels, adjacency)
    own = np.linalg.norm(values - means[labels], axis=1)
    other = np.full(len(values), np.inf)
    for label in range(k):
        neighbours = touching.indices[touching.indptr[label] : touching.indptr[label + 1]]
        inside = np.flatnonzero(labels == label)
        for neighbour in neighbours:
            other[inside] = np.minimum(other[inside], np.linalg.norm(values[inside] - means[neighbour], axis=1))
    has_neighbour = np.isfinite(other)
    if not has_neighbour.any():
        return 0.0
    a, b = own[has_neighbour], other[has_neighbour]
    return float(np.mean((b - a) / np.maximum(np.maximum(a, b), 1e-30)))


def internal_scores(
    features: NodeFeatures, parcels: NDArray[np.int64], tilings: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Score parcels by the features alone, beside geometry-only parcels of the same number.

    Parameters
    ----------
    tilings : sequence of scores
        `feature_scores` of each tiling.

    Returns
    -------
    dict
        variance_explained, silhouette, border_contrast: each with score, geometry_mean, geometry_sd, over_geometry.
    """
    result = {}
    for name, score in feature_scores(features, parcels).items():
        geometry = np.array([row[name] for row in tilings])
        result[name] = {
            "score": score,
            "geometry_mean": float(geometry.mean()),
            "geometry_sd": float(geometry.std(ddof=1)),
            "over_geometry": score - float(geometry.mean()),
        }
    return result


def feature_scores(features: NodeFeatures, parcels: NDArray[np.int64]) -> dict[str, float]:
    """Return the variance of the features that parcels explain, and silhouette and contrast of their coordinates."""
    return {
        "variance_explained": variance_explained(features.standardised, parcels),
        "silhouette": graph_silhouette(features.values, parcels, features.adjacency),
        "border_contrast": border_contrast(features.values, parcels, features.adjacency),
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
