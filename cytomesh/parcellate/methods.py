"""The methods of parcellation, and one call for all of them."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, GraphError, PluginError
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.baselines import kmeans_clusters, voronoi_parcels, ward_parcels
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.connect import check_count, join_fragments, merge_regions, split_regions
from cytomesh.parcellate.diffusion import diffusion_parcels
from cytomesh.parcellate.feature_clusters import cluster_parcels
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.leiden import leiden_communities
from cytomesh.parcellate.method import METHODS, Method, Parcellation, Problem
from cytomesh.parcellate.rounding import normalised_cut, spectral_labels
from cytomesh.parcellate.smoothing import smooth_borders
from cytomesh.parcellate.spectral import lowest_eigenpairs


def divide(features: NodeFeatures, method: str, k: int, settings: ParcellateConfig, source: str) -> Parcellation:
    """Divide nodes into k parcels; all methods but "kmeans" give connected ones.

    Raises
    ------
    GraphError
        If k is more than the nodes, or less than the components, allow.
    PluginError
        If another package's method fails.
    """
    adjacency, values = features.adjacency, features.values
    check_count(k, adjacency, source)
    weights = affinity_graph(adjacency, values, settings.affinity)
    chosen = METHODS[method]
    try:
        found = chosen().parcels(Problem(features, weights, k, settings, source))
        labels = np.asarray(found.labels)
    except Exception as cause:
        if method in METHODS.own or isinstance(cause, CytomeshError):
            raise
        what, hint = f"{type(cause).__name__}: {cause}", "mend the package that adds this method"
        raise PluginError(source, f"method {method}", found=what, hint=hint) from cause
    n = features.values.shape[0]
    if labels.shape != (n,) or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        what = f"{labels.dtype} of {labels.shape}" + (", below 0" if labels.size and labels.min() < 0 else "")
        hint = "mend the package that adds this method"
        raise GraphError(source, f"method {method}", found=what, expected=f"({n},) whole numbers from 0", hint=hint)
    if settings.smoothing_rounds and chosen.has_borders:
        labels = smooth_borders(labels, weights, adjacency, settings.smoothing_rounds, settings.min_nodes)
    return Parcellation(labels, {**found.facts, "normalised_cut": normalised_cut(weights, labels)})


class Diffusion(Method):
    """Ward's method in a diffusion map of feature neighbours."""

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""
        features, settings = problem.features, problem.settings
        own = settings.min_nodes, settings.diffusion, settings.spectral, settings.seed
        return Parcellation(diffusion_parcels(features.values, features.adjacency, problem.k, *own))


class FeatureClusters(Method):
    """Pieces of clusters in feature space."""

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""
        features, settings = problem.features, problem.settings
        own = settings.min_nodes, settings.feature_clusters, settings.affinity, settings.seed
        return Parcellation(cluster_parcels(features.values, features.adjacency, problem.k, *own))


class NormalisedCut(Method):
    """The affinity graph cut into parcels of least normalised cut, and their fragments joined."""

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""
        weights, settings = problem.weights, problem.settings
        spectrum = lowest_eigenpairs(weights, problem.k, settings.spectral, settings.seed, problem.source)
        labels, cut = spectral_labels(spectrum.vectors, weights, settings.spectral.restarts, settings.seed)
        joined = in_one_piece(labels, problem.features.adjacency.multiply(weights).tocsr(), problem)
        return Parcellation(joined, {"residual": spectrum.residual, "cut_before_joining": cut})


class Ward(Method):
    """Ward's method along mesh edges."""

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""
        features = problem.features
        return Parcellation(ward_parcels(features.values, features.adjacency, problem.k, problem.settings.min_nodes))


class KMeans(Method):
    """Features alone, wherever nodes lie."""

    is_connected = False
    has_borders = False

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k clusters."""
        return Parcellation(kmeans_clusters(problem.features.values, problem.k, problem.settings.seed))


class Leiden(Method):
    """Communities of the affinity graph, and their fragments joined."""

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""
        labels = leiden_communities(problem.weights, problem.k, problem.settings.seed)
        return Parcellation(in_one_piece(labels, problem.weights, problem))


class Voronoi(Method):
    """Geometry alone."""

    has_borders = False

    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""
        features = problem.features
        return Parcellation(voronoi_parcels(features.positions, features.adjacency, problem.k, problem.settings.seed))


def in_one_piece(labels: NDArray[np.int64], links: sp.csr_matrix, problem: Problem) -> NDArray[np.int64]:
    """Join the fragments of clusters along links, then merge or split until there are k connected parcels."""
    features, k, min_nodes = problem.features, problem.k, problem.settings.min_nodes
    joined = merge_regions(join_fragments(labels, links, min_nodes), features.values, features.adjacency, k)
    return split_regions(joined, features.values, features.adjacency, k, min_nodes)
