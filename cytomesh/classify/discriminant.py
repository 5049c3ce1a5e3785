"""Shrinkage LDA as the first layer of networks: canonical variates for inputs, and a vote of its own.

Neighbourhood means of growing size are strongly correlated, and what tells areas apart lies in their small
differences. Gradient descent hardly finds those directions in one hemisphere; within-class whitening shows them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_softmax

from cytomesh.classify.context import Floats

WITHIN_SD = 0.3
"""SD of the variates within classes: classes lie several SD apart, so that all together have an SD near 1."""


@dataclass(frozen=True, slots=True)
class Discriminant:
    """A fitted LDA with equal priors.

    Parameters
    ----------
    centre : (d,) float32
        Subtracted from inputs.
    projection : (d, k - 1) float32
        To canonical variates: class means apart as far as can be, SD `WITHIN_SD` within classes.
    means : (k, k - 1) float32
        Class means among the variates.
    """

    centre: Floats
    projection: Floats
    means: Floats

    @classmethod
    def fit(cls, inputs: Floats, targets: NDArray[np.int64], n_classes: int, shrinkage: float) -> Discriminant:
        """Fit on (n, d) inputs of known classes, each of which must occur.

        Within-class covariance S = (1 - s) mean_c S_c + s tr(.) / d I; variates are the singular vectors of the class
        means whitened by S (Hastie et al. 2009, section 4.3.3), for which LDA is the nearest mean.
        """
        x = inputs.astype(np.float64)
        counts = np.bincount(targets, minlength=n_classes)
        classes = np.eye(n_classes)[targets] / counts[targets][:, None]  # columns sum to 1
        means = classes.T @ x
        within = (x * (classes.sum(axis=1) / n_classes)[:, None]).T @ x - means.T @ means / n_classes
        d = x.shape[1]
        within = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
        root = cholesky(within, lower=True)
        centre = means.mean(axis=0)
        whitened = solve_triangular(root, (means - centre).T, lower=True)  # (d, k)
        axes, _, _ = np.linalg.svd(whitened, full_matrices=False)
        projection = WITHIN_SD * solve_triangular(root.T, axes[:, : n_classes - 1], lower=False)
        return cls(*(a.astype(np.float32) for a in (centre, projection, (means - centre) @ projection)))

    def variates(self, inputs: Floats) -> Floats:
        """Map (n, d) inputs to (n, min(d, k - 1)) canonical variates."""
        return np.asarray((inputs - self.centre) @ self.projection, np.float32)

    def log_probabilities(self, variates: Floats) -> Floats:
        """Return (n, k) log-probabilities of LDA."""
        z, means = variates.astype(np.float64) / WITHIN_SD, self.means.astype(np.float64) / WITHIN_SD
        logits = z @ means.T - 0.5 * (means**2).sum(axis=1)
        return np.asarray(log_softmax(logits, axis=1), np.float32)

    def state(self) -> dict[str, Floats]:
        """Return the arrays by name."""
        return {"centre": self.centre, "projection": self.projection, "means": self.means}
