"""Predictions for a brain whose areas are taken to be as large as those that were learnt from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytomesh.graph.neighbourhoods import Floats, Mask

STEPS = 200
STEP = 0.5


def match_proportions(probabilities: Floats, shares: NDArray[np.float64], rows: Mask) -> Floats:
    """Reweight the classes so that each one's mean probability over some nodes is its share.

    The prior of the classes is estimated as in Saerens et al. (2002), but towards known shares instead of by
    expectation maximisation: b_c <- b_c + STEP (log share_c - log mean_i p_ic), p_i = softmax(log p_i + b). The fixed
    point is the closest set of predictions, by Kullback-Leibler divergence, with these shares (half of a Sinkhorn
    iteration). No label of these nodes is read; a node's order of preference changes only by the classes' weights.

    Parameters
    ----------
    probabilities : (n, k) float32
    shares : (k,) float64
        Sum to 1, all positive.
    rows : (n,) bool
        Nodes that the shares hold for; the weights are applied to all.

    Returns
    -------
    (n, k) float32
    """
    inside = np.maximum(probabilities[rows].astype(np.float64), 1e-12)
    weights = np.ones(shares.size)
    for _ in range(STEPS):
        current = inside * weights
        mean = (current / current.sum(axis=1, keepdims=True)).mean(axis=0)
        weights *= (shares / mean) ** STEP
        weights /= weights.mean()
    result = np.maximum(probabilities.astype(np.float64), 1e-12) * weights
    return np.asarray(result / result.sum(axis=1, keepdims=True), np.float32)
