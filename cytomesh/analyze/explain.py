"""How much of what is measured at nodes their features explain, on nodes that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.moments import ComponentRegression, Moments, Residuals, Values, chunks, moments
from cytomesh.core.errors import FeatureError

N_IMPORTANT = 32
N_TERMS = 19
"""See `location_terms`."""
FULL = 1e-9
"""Smaller shares of the variance are rounding errors."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Coefficients of determination on left-out nodes, R2 = 1 - residual / total sum of squares about their mean.

    Parameters
    ----------
    r2 : (f, k, t) float64
        By fold, number of components and target; NaN, as all scores, in folds where the target has one value.
    location : (f, t) float64
        Of location alone.
    beyond : (f, t) float64
        Share of what location leaves open that all components explain beside it (partial R2); NaN where it leaves
        nothing.
    variance : (c,) float64
        Cumulative share of the features' variance, by component, over all nodes.
    importance : (min(c, 32), t) float64
        Change of the target in its SDs with one SD of each of the first components: absolute coefficients of the
        regression on all nodes, scaled.
    """

    r2: Values
    location: Values
    beyond: Values
    variance: Values
    importance: Values


def location_terms(positions: Values) -> Values:
    """Return all monomials of degree 1 to 3 of positions, (n, 19), standardised: what is smooth over the brain."""
    p = (positions - positions.mean(axis=0)) / np.maximum(positions.std(axis=0), 1e-12)
    x, y, z = p.T
    second = [x * x, y * y, z * z, x * y, x * z, y * z]
    third = [x**3, y**3, z**3, x * x * y, x * x * z, y * y * x, y * y * z, z * z * x, z * z * y, x * y * z]
    terms = np.column_stack([x, y, z, *second, *third])
    return np.asarray((terms - terms.mean(axis=0)) / np.maximum(terms.std(axis=0), 1e-12))


def explain(
    features: NDArray[Any],
    location: Values,
    targets: Values,
    fold: NDArray[np.int64],
    components: Sequence[int],
    alpha: float = 0.0,
    source: str = "explain",
) -> Explained:
    """Regress targets on the principal components of features, once with each fold left out.

    Components, means and coefficients come from the nodes of the other folds. Nodes are read once for the sums that
    the regressions follow from, and once to be predicted, in chunks.

    Parameters
    ----------
    features : (n, d) float of any precision, in memory or mapped
    location : (n, l) float64
        See `location_terms`; without columns, scores of and beyond location are NaN.
    targets : (n, t) float64
    fold : (n,) int64
    components : sequence of int
        Ascending.
    alpha : float
        See `ComponentRegression`.
    source : str
        What this is about, for messages.

    Raises
    ------
    FeatureError
        If fewer nodes are learnt from than there are components, or a target does not vary.

    Examples
    --------
    >>> import numpy as np
    >>> random = np.random.default_rng(0)
    >>> features = random.normal(size=(300, 4))
    >>> positions = random.normal(size=(300, 3))
    >>> found = explain(features, positions, features[:, :1] * 2 + 1, np.arange(300) % 5, [1, 4])
    >>> found.r2.mean(axis=0)[:, 0].round(2)[-1].item()
    1.0
    """
    parts = [np.flatnonzero(fold == f) for f in np.unique(fold)]
    most = min(components[-1], features.shape[1])
    fewest = len(fold) - max(map(len, parts))
    if fewest <= most + location.shape[1]:
        hint = "ask for fewer components, or leave out targets that few nodes have"
        found = f"{fewest} nodes to learn from, {most} components and {location.shape[1]} terms of location"
        raise FeatureError(source, found=found, expected="more nodes than components", hint=hint)
    constant = np.flatnonzero(np.ptp(targets, axis=0) == 0)
    if constant.size:
        raise FeatureError(source, f"target {constant[0]}", found="one value at all nodes", expected="values")
    sums = [moments((location, features), targets, rows) for rows in parts]
    total = sum(sums[1:], sums[0])
    counts = [min(count, most) for count in components]
    scores = [
        _score(features, location, targets, r, total - own, counts, alpha) for r, own in zip(parts, sums, strict=True)
    ]
    r2, of_location, beyond = (np.stack(list(values)) for values in zip(*scores, strict=True))
    whole = ComponentRegression.fit(_without(total, location.shape[1]), most, alpha)
    variance = np.cumsum(whole.variances) / whole.total_variance
    spread = np.sqrt(whole.variances[:N_IMPORTANT])[:, None] / targets.std(axis=0)
    return Explained(r2, of_location, beyond, variance, np.abs(whole.coefficients[:N_IMPORTANT]) * spread)


def _without(sums: Moments, n: int) -> Moments:
    """Leave out the first inputs."""
    return Moments(sums.n, sums.x[n:], sums.y, sums.xx[n:, n:], sums.xy[n:])


def _score(
    features: NDArray[Any],
    location: Values,
    targets: Values,
    rows: NDArray[np.int64],
    learnt: Moments,
    counts: list[int],
    alpha: float,
) -> tuple[Values, Values, Values]:
    """Return R2 by number of components, of location, and beyond location, of some rows learnt from the others."""
    n_terms, most = location.shape[1], counts[-1]
    own = ComponentRegression.fit(_without(learnt, n_terms), most, alpha)
    residual = np.zeros((len(counts), targets.shape[1]))
    for some in chunks(rows):
        for k, predicted in enumerate(own.predictions(features[some], counts)):
            residual[k] += ((targets[some] - predicted) ** 2).sum(axis=0)
    about_mean = ((targets[rows] - targets[rows].mean(axis=0)) ** 2).sum(axis=0)
    about_mean[np.ptp(targets[rows], axis=0) == 0] = np.nan  # a target may be constant within a fold: no score there
    if not n_terms:
        none = np.full(targets.shape[1], np.nan)
        return 1 - residual / about_mean, none, none
    by_location, left = Residuals.fit(learnt, n_terms)
    beyond = ComponentRegression.fit(left, most, alpha)
    of_location, of_both = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for some in chunks(rows):
        z = location[some] - by_location.z
        open_y = targets[some] - own.y - z @ by_location.of_y
        open_x = np.asarray(features[some], np.float64) - own.x - z @ by_location.of_x
        (predicted,) = beyond.predictions(open_x, [most])
        of_location += (open_y**2).sum(axis=0)
        of_both += ((open_y - predicted) ** 2).sum(axis=0)
    is_full = of_location < FULL * about_mean  # coordinates are location: nothing is left to explain
    of_location[is_full | np.isnan(about_mean)] = np.nan
    by_terms = np.where(is_full, 1.0, 1 - of_location / about_mean)
    return 1 - residual / about_mean, by_terms, 1 - of_both / of_location
