"""Which nodes take part, and the coordinates in which they are clustered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import FeatureError, GraphError
from cytomesh.graph.features import check_features
from cytomesh.graph.neighbourhoods import fill_rings, hop_mean
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.config import PreparationConfig
from cytomesh.surface.mesh import edge_lengths

NOISE_SHRINKAGE = 1e-3
# Nodes that are cut along the sheet or far from their section still count where there are no others.
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class NodeFeatures:
    """The nodes that are parcellated, and their coordinates.

    Parameters
    ----------
    nodes : (m,) int64
        Rows of the graph, ascending.
    adjacency : (m, m) CSR
        Mesh edges between them.
    positions : (m, 3) float64
        World positions, mm.
    standardised : (m, d) float64
        Features, zero mean and unit variance, clipped; imputed where a node has none.
    values : (m, q) float64
        Coordinates to cluster in: smoothed and whitened.
    is_imputed : (m,) bool
        Nodes whose features are the mean of their neighbours'.
    weights : (m,) float64, optional
        What a node counts in means over neighbours; None: all alike.
    places : (m, 3) float64, optional
        Where nodes are joined with those of other graphs, mm, right hemispheres mirrored; None: reference positions.
    """

    nodes: NDArray[np.int64]
    adjacency: sp.csr_matrix
    positions: NDArray[np.float64]
    standardised: NDArray[np.float64]
    values: NDArray[np.float64]
    is_imputed: NDArray[np.bool_]
    weights: NDArray[np.float64] | None = None
    places: NDArray[np.float64] | None = None

    @cached_property
    def lengths(self) -> sp.csr_matrix:
        """Edge lengths, (m, m) CSR, mm."""
        return edge_lengths(self.positions, self.adjacency)

    def smoothed(self, rows: NDArray[np.float64], hops: int) -> NDArray[np.float64]:
        """Return the weighted mean of (m, d) rows over each node's neighbourhood.

        With weights the normalised convolution of Knutsson & Westin, Normalized and differential convolution, 1993: the
        mean of weighted rows over the mean of the weights.
        """
        if self.weights is None:
            return hop_mean(self.adjacency, rows, hops)
        weights = self.weights[:, None]
        return hop_mean(self.adjacency, weights * rows, hops) / hop_mean(self.adjacency, weights, hops)


def prepare_features(
    graph: CortexGraph, features: NDArray[Any], settings: PreparationConfig, min_nodes: int, source: str
) -> NodeFeatures:
    """Select the nodes of one graph, impute, standardise, smooth and whiten: `select_nodes`, then `whiten`."""
    return whiten([select_nodes(graph, features, settings, min_nodes, source)], settings)[0]


def select_nodes(
    graph: CortexGraph, features: NDArray[Any], settings: PreparationConfig, min_nodes: int, source: str
) -> NodeFeatures:
    """Select nodes, impute, standardise and smooth; the coordinates are not whitened yet.

    Parameters
    ----------
    features : (n, d) float
        One row per node of `graph`; rows of unlinked nodes are ignored.
    min_nodes : int
        Islands of the selected mesh with fewer nodes are left out.
    source : str
        Where the features come from, for messages.

    Raises
    ------
    FeatureError
        Wrong shape, NaN or infinite rows at linked nodes, or every feature constant.
    GraphError
        If no island of the mesh is large enough.
    """
    check_features(features, graph, source)
    linked = np.flatnonzero(graph.is_linked)
    raw = np.asarray(features[linked], np.float64)
    spread = raw.std(axis=0) if len(raw) else np.zeros(features.shape[1])
    varies = spread > 1e-6 * np.maximum(np.abs(raw).max(axis=0, initial=0.0), 1e-30)
    if not varies.any():
        hint = "too few nodes are linked, maps are blank, or the encoder has collapsed"
        raise FeatureError(source, found=f"no feature that varies over {len(linked)} linked nodes", hint=hint)
    raw = (raw[:, varies] - raw[:, varies].mean(axis=0)) / spread[varies]
    standardised = np.full((graph.n_nodes, raw.shape[1]), np.nan)
    standardised[linked] = np.clip(raw, -settings.clip_sd, settings.clip_sd)
    has_features = np.isfinite(standardised[:, 0])
    standardised, is_filled = fill_rings(standardised, has_features, graph.adjacency, settings.impute_hops)
    is_known, is_imputed = is_filled & graph.is_cortex, is_filled & ~has_features
    nodes = large_islands(graph.adjacency, is_known, min_nodes, graph.name)
    adjacency = sp.csr_matrix(graph.adjacency[nodes][:, nodes])
    kept, weights = standardised[nodes], link_weights(graph, settings)
    some = NodeFeatures(
        nodes,
        adjacency,
        graph.positions[nodes],
        kept,
        kept,
        is_imputed[nodes],
        None if weights is None else weights[nodes],
    )
    return replace(some, values=some.smoothed(kept, settings.hops))


def link_weights(graph: CortexGraph, settings: PreparationConfig) -> NDArray[np.float64] | None:
    """Return what each node counts by the quality of its image link, (n,) in 0..1, or None if all count alike.

    Nodes without a link count as their neighbours do on average.

    Raises
    ------
    GraphError
        If the graph does not know the obliqueness or the distance of a linked node.
    """
    weights = np.ones(graph.n_nodes)
    if settings.obliqueness_power:
        weights *= np.cos(np.radians(_of_links(graph, "obliqueness_deg"))) ** settings.obliqueness_power
    if settings.distance_scale_mm is not None:
        weights *= np.exp(-0.5 * (_of_links(graph, "distance_mm") / settings.distance_scale_mm) ** 2)
    if not settings.obliqueness_power and settings.distance_scale_mm is None:
        return None
    known = np.maximum(weights, LEAST_WEIGHT)[:, None]
    filled, is_filled = fill_rings(known, graph.is_linked, graph.adjacency, settings.impute_hops)
    return np.where(is_filled, filled[:, 0], np.nan)


def _of_links(graph: CortexGraph, column: str) -> NDArray[np.float64]:
    values = np.asarray(graph.nodes[column], np.float64) if column in graph.nodes else np.full(graph.n_nodes, np.nan)
    bad = graph.is_linked & ~np.isfinite(values)
    if bad.any():
        hint = "leave out preparation.obliqueness_power and preparation.distance_scale_mm"
        raise GraphError(graph.name, column, found=f"no value at {int(bad.sum())} linked nodes", hint=hint)
    return values


def whiten(parts: Sequence[NodeFeatures], settings: PreparationConfig) -> tuple[NodeFeatures, ...]:
    """Give the nodes of one or several graphs the coordinates of one whitening."""
    block = stack(parts)
    values = (
        autocorrelation_factors(block.values, block.adjacency, settings.noise_hops, settings.n_factors)
        if settings.noise_hops
        else principal_components(block.values, settings.n_factors)
    )
    rows = np.split(values, np.cumsum([len(part.nodes) for part in parts])[:-1])
    return tuple(replace(part, values=own) for part, own in zip(parts, rows, strict=True))


def stack(parts: Sequence[NodeFeatures]) -> NodeFeatures:
    """Return the nodes of several graphs one after another, without edges between graphs.

    `nodes` then simply counts: its entries are rows of no single graph any more.

    Raises
    ------
    FeatureError
        If not the same number of features varies in all of them.
    """
    if len(parts) == 1:
        return parts[0]
    widths = sorted({part.standardised.shape[1] for part in parts})
    if len(widths) > 1:
        hint = "leave out the graph in which some features are constant, or parcellate separately"
        raise FeatureError("joint parcellation", found=f"{widths} features", expected="the same in all", hint=hint)
    names = ("positions", "standardised", "values", "is_imputed")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    weights = [part.weights for part in parts if part.weights is not None]
    if weights:  # of one preparation: all or none
        columns["weights"] = np.concatenate(weights)
    adjacency = sp.csr_matrix(sp.block_diag([part.adjacency for part in parts], format="csr"))
    return NodeFeatures(nodes=np.arange(adjacency.shape[0]), adjacency=adjacency, **columns)


def large_islands(
    adjacency: sp.csr_matrix, is_known: NDArray[np.bool_], min_nodes: int, source: str
) -> NDArray[np.int64]:
    """Return the nodes of every connected piece of the known nodes that has at least `min_nodes`, ascending."""
    known = np.flatnonzero(is_known)
    _, piece = connected_components(adjacency[known][:, known], directed=False)
    kept = known[np.bincount(piece)[piece] >= min_nodes] if known.size else known
    if not kept.size:
        found = f"{known.size} nodes with features in pieces of less than {min_nodes}"
        raise GraphError(source, found=found, expected="a connected piece of cortex", hint="lower min_nodes")
    return kept.astype(np.int64)


def autocorrelation_factors(
    values: NDArray[np.float64], adjacency: sp.csr_matrix, hops: int, n_factors: int
) -> NDArray[np.float64]:
    """Rotate and scale features so that their local variation is white, most autocorrelated first.

    The generalised eigenvectors of the covariance of the features and of their difference from their own mean over
    `hops` hops: maximum autocorrelation factors (Switzer & Green, Min/max autocorrelation factors for multivariate
    spatial imagery, 1984). Euclidean distance in the result is the Mahalanobis distance by local noise.

    Parameters
    ----------
    values : (m, d) float64
    n_factors : int
        At most so many columns in the result.

    Returns
    -------
    (m, min(d, n_factors)) float64
    """
    local = values - hop_mean(adjacency, values, hops)
    noise = np.atleast_2d(np.cov(local, rowvar=False))
    scale = np.trace(noise) / len(noise)
    if scale <= 0:  # no local variation at all: nothing to whiten by
        return principal_components(values, n_factors)
    noise += NOISE_SHRINKAGE * scale * np.eye(len(noise))
    _, directions = sl.eigh(np.atleast_2d(np.cov(values, rowvar=False)), noise)
    return _fix_signs((values - values.mean(axis=0)) @ directions[:, ::-1][:, :n_factors])


def principal_components(values: NDArray[np.float64], n_components: int) -> NDArray[np.float64]:
    """Return the leading principal components of (m, d) values, largest variance first."""
    _, directions = np.linalg.eigh(np.atleast_2d(np.cov(values, rowvar=False)))
    return _fix_signs((values - values.mean(axis=0)) @ directions[:, ::-1][:, :n_components])


def _fix_signs(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = columns[np.argmax(np.abs(columns), axis=0), np.arange(columns.shape[1])]
    return columns * np.where(largest < 0, -1.0, 1.0)
