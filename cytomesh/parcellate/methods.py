"""One call for every way to parcellate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.baselines import kmeans_clusters, voronoi_parcels, ward_parcels
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.connect import check_count, join_fragments, merge_regions, split_regions
from cytomesh.parcellate.diffusion import diffusion_parcels
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.leiden import leiden_communities
from cytomesh.parcellate.rounding import normalised_cut, spectral_labels
from cytomesh.parcellate.smoothing import smooth_borders
from cytomesh.parcellate.spectral import lowest_eigenpairs
from cytomesh.parcellate.types import type_parcels


@dataclass(frozen=True)
class Parcellation:
    """Labels of the nodes of one hemisphere.

    Parameters
    ----------
    labels : (m,) int64
        From 0.
    facts : dict
        What the method has to say about itself (residual, normalised cut, ...).
    """

    labels: NDArray[np.int64]
    facts: dict[str, float] = field(default_factory=dict)


def parcellate_nodes(
    features: NodeFeatures, method: str, k: int, settings: ParcellateConfig, source: str
) -> Parcellation:
    """Divide nodes into k parcels; all methods but "kmeans" give connected ones.

    Raises
    ------
    GraphError
        If k is more than the nodes, or less than the components, allow.
    """
    adjacency, values = features.adjacency, features.values
    check_count(k, adjacency, source)
    weights = affinity_graph(adjacency, values, settings.affinity)
    facts: dict[str, float] = {}
    if method == "spectral":
        labels, facts = spectral_parcels(weights, features, k, settings, source)
    elif method == "diffusion":
        labels = diffusion_parcels(
            values, adjacency, k, settings.min_nodes, settings.diffusion, settings.spectral, settings.seed
        )
    elif method == "types":
        labels = type_parcels(
            values, adjacency, k, settings.min_nodes, settings.types, settings.affinity, settings.seed
        )
    elif method == "ward":
        labels = ward_parcels(values, adjacency, k, settings.min_nodes)
    elif method == "leiden":
        labels = leiden_communities(weights, k, settings.seed)
        labels = merge_regions(join_fragments(labels, weights, settings.min_nodes), values, adjacency, k)
        labels = split_regions(labels, values, adjacency, k, settings.min_nodes)
    elif method == "voronoi":
        labels = voronoi_parcels(features.positions, adjacency, k, settings.seed)
    else:
        labels = kmeans_clusters(values, k, settings.seed)
    if settings.smoothing_rounds and method not in ("kmeans", "voronoi"):
        labels = smooth_borders(labels, weights, adjacency, settings.smoothing_rounds, settings.min_nodes)
    return Parcellation(labels, {**facts, "normalised_cut": normalised_cut(weights, labels)})


def spectral_parcels(
    weights: sp.csr_matrix, features: NodeFeatures, k: int, settings: ParcellateConfig, source: str
) -> tuple[NDArray[np.int64], dict[str, float]]:
    """Cut the affinity graph into k parcels of least normalised cut, then join their fragments."""
    spectrum = lowest_eigenpairs(weights, k, settings.spectral, settings.seed, source)
    labels, cut = spectral_labels(spectrum.vectors, weights, settings.spectral.restarts, settings.seed)
    joined = join_fragments(labels, features.adjacency.multiply(weights).tocsr(), settings.min_nodes)
    joined = merge_regions(joined, features.values, features.adjacency, k)
    joined = split_regions(joined, features.values, features.adjacency, k, settings.min_nodes)
    return joined, {"residual": spectrum.residual, "cut_before_joining": cut}
