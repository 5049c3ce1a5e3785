"""Sums over nodes from which regressions follow: nodes are read once, whatever is left out or asked for later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
CHUNK_ROWS = 8192
LEAST_SHARE = 1e-10
"""Components with a smaller share of the variance of the first one are rounding errors."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of n nodes' inputs x and targets y, and of their products.

    Parameters
    ----------
    n : int
    x, y : (d,), (t,) float64
    xx, xy : (d, d), (d, t) float64
    """

    n: int
    x: Values
    y: Values
    xx: Values
    xy: Values

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.x + other.x, self.y + other.y, self.xx + other.xx, self.xy + other.xy)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.n - other.n, self.x - other.x, self.y - other.y, self.xx - other.xx, self.xy - other.xy)

    @property
    def covariances(self) -> tuple[Values, Values]:
        """Covariance of the inputs, (d, d), and that with the targets, (d, t)."""
        mean = self.x / self.n
        return self.xx / self.n - np.outer(mean, mean), self.xy / self.n - np.outer(mean, self.y / self.n)


def chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut positions into pieces that are worked on at once."""
    for start in range(0, len(rows), CHUNK_ROWS):
        yield rows[start : start + CHUNK_ROWS]


def moments(inputs: Sequence[NDArray[Any]], y: Values, rows: NDArray[np.int64]) -> Moments:
    """Return the sums over some rows of inputs, (n, d) each of any precision, side by side, and y, (n, t)."""
    d, t = sum(x.shape[1] for x in inputs), y.shape[1]
    total = Moments(0, np.zeros(d), np.zeros(t), np.zeros((d, d)), np.zeros((d, t)))
    for some in chunks(rows):
        a, b = np.hstack([np.asarray(x[some], np.float64) for x in inputs]), y[some]
        total = total + Moments(len(some), a.sum(axis=0), b.sum(axis=0), a.T @ a, a.T @ b)
    return total


@dataclass(frozen=True, slots=True)
class ComponentRegression:
    """Ridge regression on principal components, for every number of them at once.

    The scores of components are uncorrelated where they were fitted, so the coefficient of each is the same however
    many there are: with variance v_j of component j and covariance c_j of its score with the target,
    b_j = c_j / (v_j + alpha / n), as `sklearn.linear_model.Ridge` on the scores has it.

    Parameters
    ----------
    x, y : (d,), (t,) float64
        Means.
    axes : (d, c) float64
        Principal axes, variance descending.
    variances : (c,) float64
    coefficients : (c, t) float64
    total_variance : float
        Of all components.
    """

    x: Values
    y: Values
    axes: Values
    variances: Values
    coefficients: Values
    total_variance: float

    @classmethod
    def fit(cls, sums: Moments, n_components: int, alpha: float = 0.0) -> ComponentRegression:
        """Fit on the nodes of the sums, with at most so many components."""
        cxx, cxy = sums.covariances
        variances, axes = np.linalg.eigh(cxx)
        variances, axes = variances[::-1], axes[:, ::-1]
        c = min(n_components, int((variances > LEAST_SHARE * max(variances[0], 1e-300)).sum()))
        kept, axes = variances[:c], axes[:, :c]
        coefficients = (axes.T @ cxy) / (kept + alpha / sums.n)[:, None]
        return cls(sums.x / sums.n, sums.y / sums.n, axes, kept, coefficients, float(variances.clip(min=0).sum()))

    def predictions(self, x: NDArray[Any], counts: list[int]) -> Iterator[Values]:
        """Yield the targets by the first so many components, (n, t), for ascending counts; with all where fewer."""
        scores = (np.asarray(x, np.float64) - self.x) @ self.axes
        predicted, done = np.tile(self.y, (len(x), 1)), 0
        for count in counts:
            predicted = predicted + scores[:, done:count] @ self.coefficients[done:count]
            done = min(count, len(self.variances))
            yield predicted


@dataclass(frozen=True, slots=True)
class Residuals:
    """What a linear regression on other variables (location) leaves of inputs and targets.

    The theorem of Frisch, Waugh and Lovell: regressing what is left of the targets on what is left of the inputs gives
    the coefficients of the joint regression.

    Parameters
    ----------
    z : (l,) float64
        Means of the other variables.
    of_x, of_y : (l, d), (l, t) float64
        Coefficients of the regression on them.
    """

    z: Values
    of_x: Values
    of_y: Values

    @classmethod
    def fit(cls, sums: Moments, n_others: int) -> tuple[Residuals, Moments]:
        """Fit on sums whose first inputs are the other variables; returns the sums of what is left, too."""
        cxx, cxy = sums.covariances
        inverse = np.linalg.pinv(cxx[:n_others, :n_others], hermitian=True)
        of_x, of_y = inverse @ cxx[:n_others, n_others:], inverse @ cxy[:n_others]
        n, d, t = sums.n, cxx.shape[0] - n_others, cxy.shape[1]
        xx = (cxx[n_others:, n_others:] - cxx[n_others:, :n_others] @ of_x) * n
        xy = (cxy[n_others:] - cxx[n_others:, :n_others] @ of_y) * n
        return cls(sums.x[:n_others] / n, of_x, of_y), Moments(n, np.zeros(d), np.zeros(t), xx, xy)
