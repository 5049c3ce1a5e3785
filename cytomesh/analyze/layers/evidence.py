"""What a network sees and what the intensity profile tells, brought together: pixels say little of a whole column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.classes import IGNORE
from cytomesh.core.learning import macro_f1

TRUSTS = (0.25, 0.5, 1.0, 2.0)
"""Exponents that are compared."""
LEAST = 1e-6
Ordered = Callable[[NDArray[np.float32]], NDArray[np.integer]]
"""Probabilities along columns, (n, k, 6), to layers in order, (n, k)."""
Evidence = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32], Ordered]
"""Of a network and of profiles, (n, k, 6) each, the true layers, (n, k), and how columns are put in order."""


def with_profiles(
    found: NDArray[np.float32], profiles: NDArray[np.float32], prior: NDArray[np.float64], balance: float, trust: float
) -> NDArray[np.float32]:
    """Return the probability of layers given what a network sees and the intensity profile, (n, k, 6).

    A network whose classes weigh as the power -b of their frequency f, and which is told the depth d, gives
    q(l | x, d) ~ f(l)^-b p(l | x, d). If image x and profile y told nothing of each other but by layer and depth,
    Bayes' rule would give

        p(l | x, y, d) ~ p(l | y, d) (q(l | x, d) f(l)^b / p(l | d))^t

    with t = 1. They are of the same pixels, and no independent witnesses: t is chosen on validation sections (as in
    logarithmic opinion pools, Genest and Zidek, Statistical Science 1, 1986).

    Parameters
    ----------
    found, profiles : (n, k, 6) float32
        Of a network, scaled by any factor; of `ProfileClassifier`.
    prior : (k, 6) float64
        Of each layer at each depth.
    balance : float
        b, see `TrainingConfig.balance`.
    trust : float
        t.
    """
    usual = np.log(np.maximum(prior, LEAST)) - balance * np.log(np.maximum(prior.mean(axis=0), LEAST))
    score = np.log(np.maximum(profiles, LEAST)) + trust * (np.log(np.maximum(found, LEAST)) - usual)
    score -= score.max(axis=-1, keepdims=True)
    return np.asarray(np.exp(score), np.float32)


def choose_trust(sections: Sequence[Evidence], prior: NDArray[np.float64], balance: float) -> float:
    """Return the exponent of `with_profiles` whose ordered layers have the best macro-F1 over validation columns.

    Without any column of known layers, the exponent is 1.
    """
    truth = np.concatenate([own.ravel() for _, _, own, _ in sections] or [np.zeros(0, np.int32)])
    known = truth != IGNORE
    if not known.any():
        return 1.0

    def score(trust: float) -> float:
        ordered = np.concatenate(
            [
                order(with_profiles(found, profiles, prior, balance, trust)).ravel()
                for found, profiles, _, order in sections
            ]
        )
        return macro_f1(truth[known].astype(np.int64), ordered[known].astype(np.int64))

    return max(TRUSTS, key=score)
