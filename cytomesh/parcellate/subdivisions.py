"""Candidate subdivisions: strong data-driven borders that lie inside one expert area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.affinity import edge_list
from cytomesh.parcellate.features import NodeFeatures

BAND_HOPS = 3
MIN_SIDE = 5
MAX_PLACES = 12


@dataclass(frozen=True, slots=True)
class InnerBorder:
    """A border between two parcels inside one area.

    Parameters
    ----------
    area, one, other : int
    nodes : (b,) int64
        Its nodes on both sides, rows of the parcellated nodes.
    contrast : float
        Distance of the mean coordinates of the two sides, over nodes of the area at most 3 edges from the border.
    """

    area: int
    one: int
    other: int
    nodes: NDArray[np.int64]
    contrast: float


def candidate_subdivisions(
    graph: CortexGraph,
    features: NodeFeatures,
    parcels: NDArray[np.int64],
    tilings: Sequence[NDArray[np.int64]],
    noise: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]] = (),
) -> list[dict[str, Any]]:
    """List where data-driven borders divide an area, strongest first.

    Two nulls: the contrast across the borders inside areas of parcels that know geometry alone (any border in cortex
    that varies smoothly has some contrast), and the borders that the same method finds in random numbers (a method puts
    its borders where the contrast is, even if chance put it there).

    Parameters
    ----------
    parcels : (m,) int64
    tilings : sequence of (m,) int64
        Geometry-only parcels of the same number (`nulls.Nulls.tilings`).
    noise : sequence of pairs of (m, q) float64 and (m,) int64
        Coordinates made of random numbers, and the parcels of the same method in them (`stability.Replicates.noise`).

    Returns
    -------
    list of dict
        area, parcels, contrast, null_mean; effect_sd: contrast over the mean of the tilings in their standard
        deviations; p: see `adjusted_p`, None without noise; node, x_mm, y_mm, z_mm (middle of the border); places: up
        to twelve linked nodes along it with section, column_px, row_px, one per section. Only borders above the mean of
        the tilings are listed; empty if there is no area or no border of a tiling.
    """
    areas = graph.annotation[features.nodes]
    null = _contrasts(features, tilings, areas)
    if len(null) < 2:
        return []
    mean, spread = float(null.mean()), max(float(null.std(ddof=1)), 1e-12)
    found = sorted(inner_borders(features, parcels, areas), key=lambda border: -border.contrast)
    by_noise = []
    for values, labels in noise:
        random = replace(features, values=values)
        by_noise.append(_log_ratios(_contrasts(random, [labels], areas), _contrasts(random, tilings, areas)))
    ratios = _log_ratios(np.array([border.contrast for border in found]), null)
    chances = adjusted_p(ratios, np.concatenate(by_noise) if by_noise else np.empty(0))
    return [
        {
            "area": graph.labels.name(border.area),
            "parcels": [border.one, border.other],
            "contrast": border.contrast,
            "null_mean": mean,
            "effect_sd": (border.contrast - mean) / spread,
            "p": p,
            **_place(graph, features, border.nodes),
        }
        for border, p in zip(found, chances, strict=True)
        if border.contrast > mean
    ]


def adjusted_p(ratios: NDArray[np.float64], by_noise: NDArray[np.float64]) -> list[float] | list[None]:
    """Return how seldom chance gives any border as strong, for each border.

    Where all is noise, logarithms of the contrast over that of geometry-only borders in the same coordinates are normal
    (skewness -0.1 to 0, excess kurtosis up to 0.1, with Ward's method and diffusion maps), so that one more of them,
    less the mean of n and over their standard deviation times sqrt(1 + 1 / n), has Student's distribution with n - 1
    degrees of freedom. Its share above each ratio is multiplied by the number of ratios not above this one, and none is
    less than that of a larger ratio: Holm, A simple sequentially rejective multiple test procedure, 1979. So at most in
    a share of 0.05 of all parcellations of noise any border has p <= 0.05.

    Parameters
    ----------
    ratios : (b,) float64
        Of all borders that were looked at, descending.
    by_noise : (n,) float64
        Of the borders that the same method finds in random numbers.

    Returns
    -------
    list
        In 0..1, ascending; None for every border if there are fewer than two of noise.
    """
    n = len(by_noise)
    if n < 2:
        return [None] * len(ratios)
    spread = max(float(by_noise.std(ddof=1)), 1e-12) * np.sqrt(1.0 + 1.0 / n)
    single = stats.t.sf((ratios - by_noise.mean()) / spread, n - 1)
    several = np.arange(len(ratios), 0, -1) * single
    return np.minimum(np.maximum.accumulate(several), 1.0).tolist()


def _contrasts(
    features: NodeFeatures, parcellations: Sequence[NDArray[np.int64]], areas: NDArray[np.int32]
) -> NDArray[np.float64]:
    return np.array(
        [border.contrast for parcels in parcellations for border in inner_borders(features, parcels, areas)]
    )


def _log_ratios(contrasts: NDArray[np.float64], geometry: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log contrast less its mean over geometry-only borders: free of the scale of the coordinates."""
    return np.log(np.maximum(contrasts, 1e-12)) - np.log(np.maximum(geometry, 1e-12)).mean()


def inner_borders(features: NodeFeatures, parcels: NDArray[np.int64], areas: NDArray[np.int32]) -> list[InnerBorder]:
    """Return every border between two parcels inside an area, with at least five nodes near it on either side."""
    i, j = edge_list(features.adjacency)
    inside = (areas[i] == areas[j]) & (areas[i] > 0) & (parcels[i] != parcels[j])
    i, j = i[inside], j[inside]
    keys = np.column_stack([areas[i], np.minimum(parcels[i], parcels[j]), np.maximum(parcels[i], parcels[j])])
    groups, of_group = np.unique(keys, axis=0, return_inverse=True)
    result = []
    for number, (area, one, other) in enumerate(groups.tolist()):
        edges = np.flatnonzero(of_group.ravel() == number)
        nodes = np.unique(np.concatenate([i[edges], j[edges]]))
        near = within(features.adjacency, nodes, BAND_HOPS)
        near = near[areas[near] == area]
        sides = [features.values[near[parcels[near] == side]] for side in (one, other)]
        if min(map(len, sides)) >= MIN_SIDE:
            contrast = float(np.linalg.norm(sides[0].mean(axis=0) - sides[1].mean(axis=0)))
            result.append(InnerBorder(area, one, other, nodes, contrast))
    return result


def within(adjacency: sp.csr_matrix, nodes: NDArray[np.int64], hops: int) -> NDArray[np.int64]:
    """Return the nodes at most so many edges away from some, ascending; reads no more of the graph than these."""
    reached = front = np.unique(nodes)
    for _ in range(hops):
        ends = [adjacency.indices[adjacency.indptr[node] : adjacency.indptr[node + 1]] for node in front]
        front = np.setdiff1d(np.concatenate(ends), reached) if ends else front
        reached = np.union1d(reached, front)
    return np.asarray(reached, np.int64)


def _place(graph: CortexGraph, features: NodeFeatures, border: NDArray[np.int64]) -> dict[str, Any]:
    positions = features.positions[border]
    middle = int(np.argmin(np.linalg.norm(positions - positions.mean(axis=0), axis=1)))
    nodes = features.nodes[border]
    pixels = graph.nodes.stack(["column_px", "row_px"])[nodes]
    # own node tables may name sections and no pixels
    is_seen = graph.is_linked[nodes] & (graph.section[nodes] >= 0) & np.isfinite(pixels).all(axis=1)
    sections, first = np.unique(graph.section[nodes[is_seen]], return_index=True)
    places = [
        {"section": int(section), "column_px": float(column), "row_px": float(row)}
        for section, (column, row) in zip(sections, pixels[is_seen][first], strict=True)
    ][:MAX_PLACES]
    return {
        "node": int(nodes[middle]),
        **dict(zip(("x_mm", "y_mm", "z_mm"), positions[middle].tolist(), strict=True)),
        "places": places,
    }
