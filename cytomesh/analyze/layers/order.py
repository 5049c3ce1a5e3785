"""The order of layers: along a column from pial to white, no layer comes back once a deeper one has begun."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from cytomesh.core.errors import FeatureError

LEAST = 1e-4
"""Smaller probabilities count as this: one sample where a network is sure and wrong does not decide a column."""


def order_layers(probabilities: NDArray[np.floating]) -> NDArray[np.int8]:
    """Return the most likely sequence of layers that never goes back, for each column.

    Maximises the sum of log probabilities over all sequences that do not decrease, by dynamic programming over depth
    (Viterbi, 1967, with steps to the same or any deeper layer at no cost); a layer may be missing, as IV is in
    agranular cortex.

    Parameters
    ----------
    probabilities : (n, k, l) float
        Of l layers at k depths, from pial to white; scaled by any factor at each depth.

    Returns
    -------
    (n, k) int8
        0 to l - 1.

    Raises
    ------
    FeatureError
        If they are of another shape, NaN, infinite or negative.

    Examples
    --------
    >>> import numpy as np
    >>> sure, torn = [0.9, 0.1], [0.4, 0.6]
    >>> order_layers(np.array([[sure, torn, sure, sure[::-1]]])).tolist()  # the second sample alone would be deeper
    [[0, 0, 0, 1]]
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 3 or 0 in values.shape[1:]:
        raise FeatureError("order_layers", found=f"shape {values.shape}", expected="(columns, depths, layers)")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise FeatureError("order_layers", found="NaN, infinite or negative values", expected="probabilities")
    gain = np.log(np.maximum(values, LEAST))
    n, k, n_layers = gain.shape
    came_from = np.zeros((n, k, n_layers), np.int8)
    score = gain[:, 0].copy()
    for depth in range(1, k):
        best = np.maximum.accumulate(score, axis=1)
        # the shallowest layer that reaches the best score so far
        is_new = np.concatenate([np.ones((n, 1), bool), score[:, 1:] > best[:, :-1]], axis=1)
        came_from[:, depth] = np.maximum.accumulate(np.where(is_new, np.arange(n_layers), 0), axis=1)
        score = best + gain[:, depth]
    path = np.empty((n, k), np.int8)
    path[:, -1] = score.argmax(axis=1)
    for depth in range(k - 1, 0, -1):
        path[:, depth - 1] = came_from[np.arange(n), depth, path[:, depth]]
    return path


def boundary_depths(ordered: NDArray[np.integer], n_layers: int) -> NDArray[np.float64]:
    """Return where each layer but the last ends, (n, n_layers - 1), as shares of the column from 0 to 1.

    A layer that is missing ends where it begins.
    """
    return np.stack([(ordered <= layer).mean(axis=1) for layer in range(n_layers - 1)], axis=1)


def layer_shares(boundaries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each layer in its column, (n, l), from the l - 1 boundaries between them."""
    n = len(boundaries)
    return np.diff(np.concatenate([np.zeros((n, 1)), boundaries, np.ones((n, 1))], axis=1), axis=1)


def smooth_along(
    values: NDArray[np.floating], lines: NDArray[np.int64], is_closed: NDArray[np.bool_], sd: float
) -> NDArray[np.float32]:
    """Smooth what columns have by a Gaussian over their neighbours along the ribbon.

    Parameters
    ----------
    values : (n, ...) float
    lines : (n,) int64
        Which line through the ribbon a column stands on; those of one line follow one another.
    is_closed : (n,) bool
        Whether the first column of a line is the neighbour of its last.
    sd : float
        In columns; 0 changes nothing.
    """
    smooth = np.array(values, np.float32)
    if sd <= 0:
        return smooth
    for line in np.unique(lines):
        rows = np.flatnonzero(lines == line)
        mode = "wrap" if is_closed[rows[0]] else "nearest"
        smooth[rows] = gaussian_filter1d(smooth[rows], sd, axis=0, mode=mode)
    return smooth
