"""Shrinkage LDA as the first layer of networks: canonical variates for inputs, and a vote of its own.

Neighbourhood means of growing size are strongly correlated, and what tells areas apart lies in their small
differences. Gradient descent hardly finds those directions in one hemisphere; within-class whitening shows them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_softmax

from cytomesh.classify.out_of_core import Inputs, in_chunks
from cytomesh.core.config import Config
from cytomesh.graph.neighbourhoods import Floats

WITHIN_SD = 0.3
"""SD of the variates within classes: classes lie several SD apart, so that all together have an SD near 1."""


class DiscriminantConfig(Config):
    """Shrinkage LDA before and beside a network: see `cytomesh.classify.discriminant`."""

    shrinkage: float = Field(default=0.005, gt=0, le=1)
    """Of the within-class covariance."""
    weight: float = Field(default=1.0, ge=0)
    """Of LDA's log-probabilities beside the network's (product of experts); 0: only its variates are used."""


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
    def fit(cls, inputs: Inputs, targets: NDArray[np.int64], n_classes: int, shrinkage: float) -> Discriminant:
        """Fit on (n, d) inputs of known classes, each of which must occur.

        Variates are the singular vectors of the class means whitened by the within-class covariance (Hastie et al.
        2009, section 4.3.3), for which LDA is the nearest mean.
        """
        means, within = class_moments(inputs, targets, n_classes, shrinkage)
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


def class_moments(
    inputs: Inputs, targets: NDArray[np.int64], n_classes: int, shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the class means, (k, d), and the shrunk within-class covariance, (d, d), in one pass over the nodes.

    S = (1 - s) mean_c S_c + s tr(.) / d I: each class counts the same. Each class must occur.
    """
    d = inputs.shape[1]
    counts = np.bincount(targets, minlength=n_classes)
    means, within = np.zeros((n_classes, d)), np.zeros((d, d))
    for start, chunk in in_chunks(inputs):
        x, here = chunk.astype(np.float64), targets[start : start + len(chunk)]
        classes = np.eye(n_classes)[here] / counts[here][:, None]  # columns sum to 1 over all chunks
        means += classes.T @ x
        within += (x * (classes.sum(axis=1) / n_classes)[:, None]).T @ x
    within -= means.T @ means / n_classes
    return means, (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
