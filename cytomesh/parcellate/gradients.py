"""Gradients: diffusion-map components of the affinity graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from scipy.sparse.csgraph import connected_components

from cytomesh.core.errors import GraphError
from cytomesh.parcellate.affinity import affinity_graph
from cytomesh.parcellate.config import ParcellateConfig, SpectralConfig
from cytomesh.parcellate.features import NodeFeatures
from cytomesh.parcellate.spectral import lowest_eigenpairs


def diffusion_map(
    weights: sp.csr_matrix, n_components: int, settings: SpectralConfig, seed: int
) -> NDArray[np.float64]:
    """Compute the leading non-trivial diffusion components of a graph.

    Coifman & Lafon, Diffusion maps, 2006: weights are divided by (d_i d_j)^alpha with alpha = 0.5, so that sampling
    density does not count; psi are the right eigenvectors of the random walk, scaled by lambda / (1 - lambda), the sum
    over all diffusion times (as BrainSpace does by default).

    Parameters
    ----------
    weights : (n, n) CSR
        Symmetric affinities, each component of the graph with an edge.

    Returns
    -------
    (n, n_components) float64
        Unit: root mean square of the first component is 1; the sign makes the entry of largest magnitude positive.

    Raises
    ------
    GraphError
        If the graph has too few nodes.
    """
    degree = np.asarray(weights.sum(axis=1)).ravel()
    half = sp.diags_array(np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0))
    scaled = sp.csr_matrix(half @ weights @ half)
    scaled.eliminate_zeros()
    pieces = int(connected_components(scaled, directed=False, return_labels=False))
    wanted = pieces + n_components
    if wanted > weights.shape[0]:
        expected = f"at most {weights.shape[0] - pieces}"
        raise GraphError("diffusion map", "n_gradients", found=str(n_components), expected=expected)
    spectrum = lowest_eigenpairs(scaled, wanted, settings, seed, "diffusion map")
    walk = np.sqrt(np.asarray(scaled.sum(axis=1)).ravel())
    right = np.divide(spectrum.vectors, walk[:, None], out=np.zeros_like(spectrum.vectors), where=walk[:, None] > 0)
    # The first `pieces` are constant on each component: they say nothing.
    shrink = (1.0 - spectrum.eigenvalues) / np.maximum(spectrum.eigenvalues, 1e-12)
    components = (right * shrink)[:, pieces:]
    return np.asarray(components / np.sqrt(np.mean(components[:, 0] ** 2)), np.float64)


def aligned_gradients(
    parts: Sequence[NodeFeatures], parcels: Sequence[NDArray[np.int64]], settings: ParcellateConfig
) -> list[NDArray[np.float64]]:
    """Compute the gradients of every graph, turned onto those of the first where parcels correspond.

    Orthogonal Procrustes (Schoenemann 1966) on the mean gradients of shared parcels; graphs that share no more parcels
    than there are gradients stay as they are.

    Parameters
    ----------
    parts : sequence of NodeFeatures
    parcels : sequence of (m,) int64
        The same label in two graphs is the same parcel.

    Returns
    -------
    list of (m, n_gradients) float64
    """
    result: list[NDArray[np.float64]] = []
    for part, labels in zip(parts, parcels, strict=True):
        weights = affinity_graph(part.adjacency, part.values, settings.affinity)
        components = diffusion_map(weights, settings.n_gradients, settings.spectral, settings.seed)
        shared = np.intersect1d(labels, parcels[0])
        if result and len(shared) > settings.n_gradients:
            own = np.array([components[labels == parcel].mean(axis=0) for parcel in shared])
            first = np.array([result[0][parcels[0] == parcel].mean(axis=0) for parcel in shared])
            components = components @ orthogonal_procrustes(own, first)[0]
        result.append(components)
    return result
