"""A network's layers and what depth alone tells of them, brought together: pixels say little of how deep they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.classes import IGNORE, N_LAYERS
from cytomesh.core.learning import macro_f1

TRUSTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Exponents that are compared; the largest leaves next to nothing of the depth."""
Ordered = Callable[[NDArray[np.float32]], NDArray[np.integer]]
"""Probabilities along columns, (n, k, 6), to layers in order, (n, k)."""


def with_depth(
    found: NDArray[np.float32], prior: NDArray[np.float64], balance: float, trust: float
) -> NDArray[np.float32]:
    """Return the probability of layers given what a network sees and how deep it lies, (n, k, 6).

    A network whose classes weigh as the power -b of their frequency f gives q(l | x) ~ f(l)^(1 - b) p(x | l); if x told
    nothing of depth but by the layer, Bayes' rule would give

        p(l | x, d) ~ p(l | d) (q(l | x) / f(l)^(1 - b))^t

    with t = 1. Networks do see depth, and their neighbouring pixels are no independent witnesses: t is chosen on
    validation sections (as in logarithmic opinion pools, Genest and Zidek, Statistical Science 1, 1986).

    Parameters
    ----------
    found : (n, k, 6) float32
        Of a network, scaled by any factor.
    prior : (k, 6) float64
        Of each layer at each depth.
    balance : float
        b, see `TrainingConfig.balance`.
    trust : float
        t.
    """
    share = prior.mean(axis=0) ** (1 - balance)
    likelihood = trust * (np.log(np.maximum(found, 1e-6)) - np.log(np.maximum(share, 1e-6)))
    score = likelihood + np.log(np.maximum(prior, 1e-6))
    score -= score.max(axis=-1, keepdims=True)
    return np.asarray(np.exp(score), np.float32)


def choose_trust(
    sections: Sequence[tuple[NDArray[np.float32], NDArray[np.int32], Ordered]],
    prior: NDArray[np.float64],
    balance: float,
) -> float:
    """Return the exponent of `with_depth` whose ordered layers have the best macro-F1 over validation columns.

    Parameters
    ----------
    sections : sequence of (probabilities (n, k, 6), truth (n, k), order)
        Without any, the exponent is 1.
    """
    if not sections:
        return 1.0
    truth = np.concatenate([own.ravel() for _, own, _ in sections])
    known = truth != IGNORE

    def score(trust: float) -> float:
        ordered = [order(with_depth(found, prior, balance, trust)).ravel() for found, _, order in sections]
        return macro_f1(truth[known].astype(np.int64), np.concatenate(ordered)[known].astype(np.int64))

    return max(TRUSTS, key=score) if np.isin(np.arange(N_LAYERS), truth).any() else 1.0
