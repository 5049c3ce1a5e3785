"""Nodes in two dimensions, by their features: t-SNE, UMAP or the first two principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from cytomesh.analyze.inspect.config import MapConfig
from cytomesh.core.errors import FeatureError
from cytomesh.core.extras import optional
from cytomesh.core.random import derived_seed

METHODS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "principal component"}
"""What the axes are called."""
N_COMPONENTS = 50
"""Before t-SNE, as its authors advise: what lies beyond is noise that distances would be computed of."""
LEAST_NODES = 4
SAME_DIRECTION = 1e-6
"""Spread of unit vectors that is rounding of single precision: t-SNE divides by it."""


def latent_map(features: NDArray[Any], settings: MapConfig, seed: int) -> NDArray[np.float64]:
    """Return where nodes lie on a map of their features, (n, 2) float64.

    Distances are those of unit vectors, which order nodes as cosine similarity does. t-SNE and UMAP keep neighbours;
    how far clusters lie apart, and how large they are, means nothing there.

    Parameters
    ----------
    features : (n, d) float
        Finite; all nodes are drawn, whatever `settings.n_nodes`.
    settings : MapConfig
    seed : int

    Raises
    ------
    FeatureError
        If there are fewer than four nodes, or all have features of one direction.
    PackageError
        If UMAP is wanted and not installed.
    """
    if len(features) < LEAST_NODES:
        raise FeatureError("map of features", found=f"{len(features)} nodes", expected=f"{LEAST_NODES} or more")
    units = normalize(np.asarray(features, np.float64))
    if np.ptp(units, axis=0).max() < SAME_DIRECTION:
        found, expected = "features of one direction at all drawn nodes", "directions that differ"
        hint = "directions are compared (cosine), not lengths: set centred: true, or draw more nodes"
        raise FeatureError("map of features", found=found, expected=expected, hint=hint)
    state = derived_seed(seed, "map") % 2**32
    if settings.method == "umap":
        umap = optional("umap", "cytomesh[umap]")
        nearest = min(settings.neighbours, len(units) - 1)
        return np.asarray(umap.UMAP(n_neighbors=nearest, random_state=state, n_jobs=1).fit_transform(units), np.float64)
    n_components = 2 if settings.method == "pca" else min(N_COMPONENTS, *units.shape)
    components = PCA(n_components, random_state=state).fit_transform(units)
    if settings.method == "pca":
        return np.asarray(components)
    perplexity = min(settings.neighbours, (len(units) - 1) / 3)
    with threadpool_limits(1):  # sums of several threads differ in the last digits, which t-SNE magnifies
        found = TSNE(perplexity=perplexity, init="pca", random_state=state).fit_transform(components)
    return np.asarray(found, np.float64)
