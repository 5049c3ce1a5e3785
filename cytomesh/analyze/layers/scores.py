"""How well layers were found: overlap of areas, distance of boundaries, error of thickness."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.analyze.layers.classes import IGNORE
from cytomesh.core.errors import FeatureError


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int) -> NDArray[np.int64]:
    """Count pixels by true (rows) and predicted class; those whose truth is `IGNORE` are left out."""
    known = truth != IGNORE
    pairs = truth[known].astype(np.int64) * n_classes + predicted[known]
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def overlap(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return F1 (Dice) and Jaccard index of each class from a confusion; NaN for classes that are neither."""
    hits, total = np.diag(counts).astype(np.float64), (counts.sum(axis=0) + counts.sum(axis=1)).astype(np.float64)
    total[total == 0] = np.nan
    return 2 * hits / total, hits / (total - hits)


def layer_scores(truth: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int = 8) -> dict[str, Any]:
    """Return the overlap of two segmentations, arrays of one shape.

    Parameters
    ----------
    truth, predicted : int
        0 background, 1 to 6 the layers, 7 white matter; truth `-1` where nobody knows.

    Returns
    -------
    dict
        `f1` and `jaccard` by class, `macro_f1` over the classes 1 to 6 that are there.

    Raises
    ------
    FeatureError
        If they are not of one shape, or hold other numbers than these.

    Examples
    --------
    >>> import numpy as np
    >>> found = layer_scores(np.array([1, 1, 2, 2, -1]), np.array([1, 2, 2, 2, 5]))
    >>> [round(float(found["f1"][layer]), 3) for layer in (1, 2)], round(found["macro_f1"], 3)
    ([0.667, 0.8], 0.733)
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        found = f"shapes {truth.shape} and {predicted.shape}"
        raise FeatureError("layer_scores", found=found, expected="segmentations of one shape")
    for name, classes, least in (("truth", truth, IGNORE), ("predicted", predicted, 0)):
        if classes.dtype.kind not in "iu" or not ((classes >= least) & (classes < n_classes)).all():
            found = f"{classes.dtype}" + (f" from {classes.min()} to {classes.max()}" if classes.size else "")
            raise FeatureError("layer_scores", name, found=found, expected=f"integers from {least} to {n_classes - 1}")
    f1, jaccard = overlap(confusion(truth, predicted, n_classes))
    return {"f1": f1, "jaccard": jaccard, "macro_f1": float(np.nanmean(f1[1:-1]))}


def boundary_scores(
    truth: NDArray[np.float64], predicted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far predicted boundaries lie from true ones: mean along columns, and 95 % Hausdorff distance.

    The first compares the two points of each column. The second is the larger of the 95th percentiles of the distances
    from each point of one line to the nearest of the other (Huttenlocher et al., 1993, with a percentile for the
    maximum, as is usual in segmentation).

    Parameters
    ----------
    truth, predicted : (n, b, 2) float64
        Points of b boundaries in n columns, in any unit.

    Returns
    -------
    mean, hausdorff : (b,) float64
        NaN without columns.
    """
    n_boundaries = truth.shape[1]
    if not len(truth):
        return np.full(n_boundaries, np.nan), np.full(n_boundaries, np.nan)
    mean = np.linalg.norm(truth - predicted, axis=2).mean(axis=0)
    hausdorff = np.empty(n_boundaries)
    for b in range(n_boundaries):
        there = cKDTree(truth[:, b]).query(predicted[:, b])[0]
        back = cKDTree(predicted[:, b]).query(truth[:, b])[0]
        hausdorff[b] = max(np.percentile(there, 95), np.percentile(back, 95))
    return mean, hausdorff


def thickness_scores(truth_mm: NDArray[np.float64], predicted_mm: NDArray[np.float64]) -> dict[str, list[float]]:
    """Return mean absolute error, bias (mm) and correlation over nodes of each layer's thickness, (n, 6) both."""
    known = np.isfinite(truth_mm).all(axis=1) & np.isfinite(predicted_mm).all(axis=1)
    n_layers = truth_mm.shape[1]
    if known.sum() < 2:
        return {key: [float("nan")] * n_layers for key in ("error_mm", "bias_mm", "r")}
    error = predicted_mm[known] - truth_mm[known]
    return {
        "error_mm": np.abs(error).mean(axis=0).tolist(),
        "bias_mm": error.mean(axis=0).tolist(),
        "r": [_correlation(truth_mm[known, i], predicted_mm[known, i]) for i in range(n_layers)],
    }


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    is_flat = min(np.ptp(first), np.ptp(second)) < 1e-9
    return float("nan") if is_flat else float(np.corrcoef(first, second)[0, 1])
