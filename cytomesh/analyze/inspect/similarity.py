"""How alike areas are: mean cosine similarity over all pairs of their nodes, within brains and between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from cytomesh.core.counted import counted
from cytomesh.core.errors import FeatureError

Values = NDArray[np.float64]
CHUNK_ROWS = 16384


@dataclass(frozen=True, slots=True)
class AreaSimilarity:
    """Mean cosine similarity of areas; a node and itself are no pair.

    Parameters
    ----------
    areas : (k,) int64
        Labels, ascending.
    n_nodes : (k,) int64
    mean : (k, k) float64
        Over all pairs of a node of the one and a node of the other area; NaN where there is no pair.
    within, between : (k, k) float64
        Over the pairs of one brain, and of two brains.
    """

    areas: NDArray[np.int64]
    n_nodes: NDArray[np.int64]
    mean: Values
    within: Values
    between: Values


def area_similarity(
    features: NDArray[Any], labels: NDArray[np.integer], brains: NDArray[Any] | None = None
) -> AreaSimilarity:
    """Compare the areas of (n, d) features.

    The mean over pairs follows from sums of unit vectors, s_a . s_b / (n_a n_b), so that no pair is ever looked at:
    n d multiplications instead of n^2 d. On the diagonal the n_a pairs of a node and itself are taken out.

    Parameters
    ----------
    features : (n, d) float
        NaN at nodes without any, which are left out.
    labels : (n,) int
        Area of each node; 0 for none.
    brains : (n,) int or str, optional
        Brain of each node; without, all are of one.

    Raises
    ------
    FeatureError
        If nodes with features are of fewer than two areas.

    Examples
    --------
    >>> import numpy as np
    >>> features = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    >>> area_similarity(features, np.array([1, 1, 2])).mean.round(2).tolist()
    [[0.0, 0.5], [0.5, nan]]
    """
    used = np.flatnonzero((np.asarray(labels) > 0) & np.isfinite(features).all(axis=1))
    areas, area = np.unique(np.asarray(labels)[used], return_inverse=True)
    if len(areas) < 2:
        found = f"{len(used):,} nodes with features and a label, of {counted(len(areas), 'area')}"
        raise FeatureError("area similarity", found=found, expected="two areas or more", hint="annotate more areas")
    names, brain = np.unique(np.zeros(len(used)) if brains is None else np.asarray(brains)[used], return_inverse=True)
    k, b = len(areas), len(names)
    sums, own = np.zeros((b * k, features.shape[1])), np.zeros(k)
    for start in range(0, len(used), CHUNK_ROWS):
        some = slice(start, start + CHUNK_ROWS)
        units = normalize(np.asarray(features[used[some]], np.float64))
        group = brain[some] * k + area[some]
        sums += sp.csr_matrix((np.ones(len(group)), (group, np.arange(len(group)))), (b * k, len(group))) @ units
        own += np.bincount(area[some], (units**2).sum(axis=1), k)  # 1 a node, 0 of features that are 0
    by_brain = sums.reshape(b, k, -1)
    counts = np.bincount(brain * k + area, minlength=b * k).reshape(b, k)
    n = counts.sum(axis=0)
    total, pairs = by_brain.sum(axis=0), np.outer(n, n) - np.diag(n)
    dots = total @ total.T - np.diag(own)
    within_dots = np.einsum("bkd,bld->kl", by_brain, by_brain, optimize=True) - np.diag(own)
    within_pairs = counts.T @ counts - np.diag(n)
    return AreaSimilarity(
        np.asarray(areas, np.int64),
        np.asarray(n, np.int64),
        _mean(dots, pairs),
        _mean(within_dots, within_pairs),
        _mean(dots - within_dots, pairs - within_pairs),
    )


def _mean(dots: Values, pairs: NDArray[np.int64]) -> Values:
    """Divide where there is a pair; the mean of cosines is one, whatever rounding adds to it."""
    return np.clip(np.divide(dots, pairs, out=np.full(dots.shape, np.nan), where=pairs > 0), -1.0, 1.0)
