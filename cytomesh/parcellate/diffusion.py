"""Parcels from a diffusion map of feature neighbours: similar cortex is near wherever it lies, parcels are connected.

Affinities of mesh edges alone tile the cortex: their eigenvectors are those of the surface, hardly bent by the
features (normalised cut of the mesh agrees with areas no better than with rotated areas). Here the graph joins nodes
with similar features wherever they are, its diffusion map gives coordinates in which the large differences of
cortex count and noise does not, and Ward's method along mesh edges makes connected parcels in those coordinates.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from cytomesh.parcellate.config import DiffusionConfig, SpectralConfig
from cytomesh.parcellate.connect import join_fragments, region_means, region_weights, split_regions
from cytomesh.parcellate.gradients import diffusion_map
from cytomesh.parcellate.ward import ward_tree

SCALE_NEIGHBOUR = 7
# Keeps the graph of feature neighbours connected where the mesh is, and counts for little otherwise.
MESH_WEIGHT = 0.01


def neighbour_graph(values: NDArray[np.float64], n_neighbours: int) -> sp.csr_matrix:
    """Join every row with its nearest rows, with self-tuning weights exp(-d^2 / (s_i s_j)).

    s is the distance to the seventh neighbour (Zelnik-Manor & Perona, Self-tuning spectral clustering, 2004, section
    2.1); an edge is kept if either end counts the other among its neighbours.

    Parameters
    ----------
    values : (n, q) float64

    Returns
    -------
    (n, n) CSR float64
        Symmetric, no diagonal.
    """
    n = len(values)
    count = min(n_neighbours, n - 1)
    with threadpool_limits(1):
        distance, nearest = NearestNeighbors(n_neighbors=count).fit(values).kneighbors()
    scale = distance[:, min(SCALE_NEIGHBOUR, count) - 1]
    scale = np.maximum(scale, 1e-6 * max(float(scale.max()), 1e-30))
    rows = np.repeat(np.arange(n), count)
    columns = nearest.ravel()
    weights = np.exp(-(distance.ravel() ** 2) / (scale[rows] * scale[columns]))
    one_way = sp.csr_matrix((weights, (rows, columns)), shape=(n, n))
    return sp.csr_matrix(one_way.maximum(one_way.T))


def diffusion_parcels(
    values: NDArray[np.float64],
    adjacency: sp.csr_matrix,
    k: int,
    min_nodes: int,
    settings: DiffusionConfig,
    spectral: SpectralConfig,
    seed: int,
) -> NDArray[np.int64]:
    """Parcellate into k connected parcels by Ward's method in the diffusion coordinates of feature neighbours.

    Large meshes are first merged into `settings.max_regions` small regions by Ward's method on `values`: neighbours in
    feature space are sought between those.

    Returns
    -------
    (m,) int64
        Labels from 0.
    """
    regions = ward_tree(values, adjacency, stop_at=settings.max_regions).cut(settings.max_regions)
    means, counts = region_means(values, regions), np.bincount(regions).astype(np.float64)
    touching = region_weights(regions, adjacency)
    is_touching = touching.copy()
    is_touching.data[:] = 1.0
    graph = neighbour_graph(means, settings.neighbours) + MESH_WEIGHT * is_touching
    n_components = min(settings.n_components, len(means) // 4)
    coordinates = diffusion_map(sp.csr_matrix(graph), n_components, spectral, seed)
    labels = ward_tree(coordinates, touching, counts, stop_at=k).cut(k)[regions]
    labels = join_fragments(labels, adjacency, min_nodes)
    return split_regions(labels, coordinates[regions], adjacency, k, min_nodes)
