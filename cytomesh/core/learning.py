"""What every training needs: the course of the learning rate, and the score that decides when to stop."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def warm_up_cosine(step: int, n_steps: int, warm_up: int, peak: float = 1.0) -> float:
    """Return the learning rate: linear up to its peak, then half a cosine to 0.

    Loshchilov & Hutter, SGDR, 2017, eq. 5, without restarts.

    Parameters
    ----------
    step : int
        From 0.
    n_steps, warm_up : int
        Steps in all, and of the rise.

    Examples
    --------
    >>> [round(warm_up_cosine(step, 10, 2), 2) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, n_steps - warm_up)
    return peak * 0.5 * (1.0 + math.cos(math.pi * progress))


def macro_f1(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur in `targets`, (n,) numbers of any kind.

    Areas without test nodes cannot be scored and areas without training nodes cannot be found: neither has a part.

    Examples
    --------
    >>> round(macro_f1(np.array([1, 1, 2, 2]), np.array([1, 2, 2, 7])), 4)  # the F1 of 1 is 2 / 3, that of 2 is 1 / 2
    0.5833
    """
    classes, truth = np.unique(targets, return_inverse=True)
    place = np.searchsorted(classes, predicted).clip(max=classes.size - 1)
    is_known = classes[place] == predicted
    hits = np.bincount(truth[is_known & (place == truth)], minlength=classes.size)
    support, named = np.bincount(truth, minlength=classes.size), np.bincount(place[is_known], minlength=classes.size)
    return float((2 * hits.astype(np.float64) / np.maximum(support + named, 1)).mean())
