"""How far groups of nodes lie apart: silhouettes, and a linear probe that names the group on cortex left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.metrics import recall_score
from sklearn.preprocessing import normalize

from cytomesh.core.errors import FeatureError
from cytomesh.pretrain.probe import linear

Values = NDArray[np.float64]
CHUNK_ROWS = 16384


@dataclass(frozen=True, slots=True)
class Separation:
    """How far groups lie apart.

    Parameters
    ----------
    silhouettes : (n,) float64
        Of each node, see `cosine_silhouettes`.
    accuracy : float
        Balanced accuracy of the probe on what it has not learnt from: mean over groups of the share named right.
    chance : float
        What guessing gives, 1 / number of groups.
    """

    silhouettes: Values
    accuracy: float
    chance: float

    @property
    def silhouette(self) -> float:
        """Mean over nodes: 1 far apart, 0 on top of each other, less if nearer to another group than to their own."""
        return float(self.silhouettes.mean())


def separation(features: NDArray[Any], groups: NDArray[Any], fold: NDArray[np.int64]) -> Separation:
    """Say how far groups of (n, d) features lie apart.

    Parameters
    ----------
    features : (n, d) float
        Finite.
    groups : (n,) int or str
        Area, brain, or anything else.
    fold : (n,) int64
        What is left out together when the probe learns (see `analyze.folds`).

    Raises
    ------
    FeatureError
        If there is one group only.
    """
    return Separation(
        cosine_silhouettes(features, groups), probe_accuracy(features, groups, fold), 1 / len(np.unique(groups))
    )


def cosine_silhouettes(features: NDArray[Any], groups: NDArray[Any]) -> Values:
    """Return the silhouette of each node by cosine distance, exactly, (n,) float64.

    (b - a) / max(a, b): a is the mean distance to the other nodes of the own group, b that to the nearest other group;
    0 for the only node of a group (Rousseeuw, 1987). The mean cosine distance of a node u to a group is
    1 - u . s / n with the sum s of its unit vectors, so that n k distances are computed instead of n^2.

    Raises
    ------
    FeatureError
        If there is one group only.

    Examples
    --------
    >>> import numpy as np
    >>> features = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> cosine_silhouettes(features, np.array(["a", "a", "b", "b"])).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    n = _at_least_two(groups)
    _, group = np.unique(groups, return_inverse=True)
    counts = np.bincount(group)
    sums = np.zeros((len(counts), features.shape[1]))
    for some, units in _units(features):
        rows = np.arange(len(units))
        sums += sp.csr_matrix((np.ones(len(units)), (group[some], rows)), (len(counts), len(units))) @ units
    result = np.zeros(n)
    for some, units in _units(features):
        rows, own = np.arange(len(units)), group[some]
        distance = 1 - units @ sums.T / counts
        others = np.maximum(counts[own] - 1, 1)
        mine = 1 - ((units * sums[own]).sum(axis=1) - (units**2).sum(axis=1)) / others
        distance[rows, own] = np.inf
        nearest = distance.min(axis=1)
        largest = np.maximum(mine, nearest)
        is_judged = (counts[own] > 1) & (largest > 1e-12)
        result[some] = np.where(is_judged, (nearest - mine) / np.where(is_judged, largest, 1.0), 0.0)
    return result


def probe_accuracy(features: NDArray[Any], groups: NDArray[Any], fold: NDArray[np.int64]) -> float:
    """Return the balanced accuracy of a linear probe, each fold named by one that learnt from the others.

    The probe is ridge regression onto indicators of the groups, each of the same weight (see `pretrain.probe.linear`).

    Raises
    ------
    FeatureError
        If there is one group only, or nothing is left to learn from.
    """
    _at_least_two(groups)
    names, number = np.unique(groups, return_inverse=True)
    predicted = np.full(len(number), -1)
    for f in np.unique(fold):
        train, test = fold != f, fold == f
        if len(np.unique(number[train])) < 2:
            found = "fewer than two groups to learn from"
            hint = "use other folds, or more nodes"
            raise FeatureError("separation", f"fold {f}", found=found, expected=f"{len(names)} groups", hint=hint)
        known = np.asarray(features[train], np.float64)
        predicted[test] = linear(known, number[train], np.asarray(features[test], np.float64))
    return float(recall_score(number, predicted, labels=np.arange(len(names)), average="macro"))


def _units(features: NDArray[Any]) -> Iterator[tuple[slice, Values]]:
    for start in range(0, len(features), CHUNK_ROWS):
        some = slice(start, start + CHUNK_ROWS)
        yield some, normalize(np.asarray(features[some], np.float64))


def _at_least_two(groups: NDArray[Any]) -> int:
    names = np.unique(groups)
    if len(names) < 2:
        found = f"one group, {names[0]}" if len(names) else "no node"
        raise FeatureError("separation", found=found, expected="two groups or more")
    return len(groups)
