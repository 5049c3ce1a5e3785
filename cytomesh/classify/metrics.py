"""Scores: macro-F1, balanced accuracy, top-3, per-class table, confusion, calibration, error distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ECE_BINS = 15


def confusion_matrix(targets: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Count nodes by true (row) and predicted (column) class, (k, k)."""
    pairs = np.bincount(targets * n_classes + predicted, minlength=n_classes * n_classes)
    return pairs.reshape(n_classes, n_classes).astype(np.int64)


def per_class(confusion: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Precision, recall, F1 and support of each class, (k,) each; 0 where a denominator is 0."""
    hits = np.diag(confusion).astype(np.float64)
    support, named = confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "precision": hits / np.maximum(named, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + named, 1),
        "support": support.astype(np.float64),
    }


def expected_calibration_error(confidence: NDArray[np.floating[Any]], is_right: NDArray[np.bool_]) -> float:
    """ECE: |accuracy - mean confidence| in 15 equal bins of confidence, weighted by nodes (Guo et al. 2017, eq. 3)."""
    gap = np.bincount(_bins(confidence), is_right - confidence.astype(np.float64), ECE_BINS)
    return float(np.abs(gap).sum() / len(confidence))


def reliability(probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> list[dict[str, float]]:
    """Confidence against accuracy: one row for each bin of the ECE that holds nodes."""
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == targets
    bins = _bins(confidence)
    return [
        {
            "confidence": float(confidence[bins == i].mean()),
            "accuracy": float(is_right[bins == i].mean()),
            "n_nodes": int((bins == i).sum()),
        }
        for i in np.unique(bins)
    ]


def _bins(confidence: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    return np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def scores(
    targets: NDArray[np.int64], probabilities: NDArray[np.float32], hops: NDArray[np.float64]
) -> dict[str, float]:
    """All scores that are one number.

    Parameters
    ----------
    targets : (n,) int64
    probabilities : (n, k) float32
    hops : (k, k) float64
        Distance of any two areas on the area adjacency graph, inf between its components.

    Returns
    -------
    dict
        macro_f1, balanced_accuracy (mean recall over the same classes), accuracy, top3, ece, confidence (mean),
        error_hops (mean distance of wrong nodes to their true area; null if there is no error or no path).
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    is_right = predicted == targets
    confidence = probabilities.max(axis=1)
    table = per_class(confusion_matrix(targets, predicted, n_classes))
    is_tested = table["support"] > 0
    top = np.argpartition(-probabilities, min(2, n_classes - 1), axis=1)[:, :3]
    distance = hops[targets[~is_right], predicted[~is_right]]
    distance = distance[np.isfinite(distance)]
    return {
        "macro_f1": float(table["f1"][is_tested].mean()),
        "balanced_accuracy": float(table["recall"][is_tested].mean()),
        "accuracy": float(is_right.mean()),
        "top3": float((top == targets[:, None]).any(axis=1).mean()),
        "ece": expected_calibration_error(confidence, is_right),
        "confidence": float(confidence.mean()),
        "error_hops": float(distance.mean()) if distance.size else float("nan"),
    }


def tables(
    targets: NDArray[np.int64], probabilities: NDArray[np.float32], hops: NDArray[np.float64], names: Sequence[str]
) -> dict[str, Any]:
    """All scores that are more than one number.

    Returns
    -------
    dict
        per_class; confusion (rows: true); by error distance in hops on the area adjacency graph ("0" is right):
        error_distance, the share of nodes, and margin, their mean logit margin (best minus second; the softmax
        leaves differences of logits as they are, so it is taken from the probabilities).
    """
    n_classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(targets, predicted, n_classes)
    columns = per_class(confusion)
    rows = [
        {"area": name, **{key: float(values[i]) for key, values in columns.items()}} for i, name in enumerate(names)
    ]
    distance = hops[targets, predicted]
    best, second = -np.partition(-probabilities.astype(np.float64), 1, axis=1)[:, :2].T
    logit_margin = np.log(best) - np.log(np.maximum(second, np.finfo(np.float32).tiny))
    shares, margins = {}, {}
    for hop in np.unique(distance):
        here = distance == hop
        name = str(int(hop)) if np.isfinite(hop) else "unconnected"
        shares[name], margins[name] = float(here.mean()), float(logit_margin[here].mean())
    return {"per_class": rows, "confusion": confusion, "error_distance": shares, "margin": margins}


def average(probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean over trainings, one added to the next: arrays of millions of nodes are not stacked."""
    if len(probabilities) == 1:
        return probabilities[0]
    total = probabilities[0].copy()
    for other in probabilities[1:]:
        total += other
    total /= len(probabilities)
    return total


def mean_and_sd(records: Sequence[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and sample SD of each score over seeds; the SD of a single one is 0."""
    means, deviations = {}, {}
    for key in records[0]:
        values = np.array([record[key] for record in records])
        means[key] = float(values.mean())
        deviations[key] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return means, deviations
