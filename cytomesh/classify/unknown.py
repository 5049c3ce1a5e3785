"""Areas that were left out of the training, and whether doubt betrays them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from cytomesh.classify.nodes import NodeData
from cytomesh.core.errors import ConfigError, did_you_mean
from cytomesh.core.labels import LabelTable
from cytomesh.graph.neighbourhoods import Floats, Mask

REJECTED = 0.05
"""Share of the validation nodes (training nodes, if there are none) of known areas that a threshold turns away."""


def left_out_labels(names: Sequence[str], table: LabelTable) -> NDArray[np.int32]:
    """Return the labels of some areas.

    Raises
    ------
    ConfigError
        If an area is not in the table; the nearest name is given.
    """
    labels = dict(zip(table.names, table.indices, strict=True))
    for name in names:
        if name not in labels:
            hint = did_you_mean(name, labels, "names are those of the label table")
            raise ConfigError("areas.leave_out", name, found="no area of this name", hint=hint)
    return np.array([labels[name] for name in names], np.int32)


def unknown_record(
    data: NodeData, is_left_out: Mask, probabilities: Floats, distances: NDArray[np.float64], sides: Sequence[str]
) -> dict[str, Any]:
    """Score how well doubt tells nodes of areas that were left out from those of areas that were learnt.

    `confidence`: 1 - the highest probability (Hendrycks and Gimpel 2017); `distance`: of the inputs from those that
    were learnt from (`classify-predict --set max_distance_quantile=...`); `either`: whichever is rarer among the
    validation nodes. A threshold turns `REJECTED` of these away.

    Parameters
    ----------
    data : NodeData
    is_left_out : (n,) bool
        Nodes annotated as an area that was left out.
    probabilities : (n, k) float32
    distances : (n,) float64
    sides : sequence of str
        Evaluation sides.

    Returns
    -------
    dict
        By side with nodes of both kinds: `n_known`, `n_left_out`, and by kind of doubt under `doubts`: `auroc` (0.5 is
        chance), the shares of the known nodes that were accepted and `right`, accepted and `wrong`, and `rejected`, and
        of the left-out ones `left_out_rejected`.
    """
    reference = data.evaluated("validation") if data.evaluated("validation").any() else data.is_train
    doubts = {"confidence": 1.0 - probabilities.max(axis=1), "distance": distances}
    ranks = [_ranks(values, values[reference]) for values in doubts.values()]
    doubts["either"] = np.max(ranks, axis=0)
    right = probabilities.argmax(axis=1) == data.targets
    found: dict[str, Any] = {}
    for side in sides:
        known, left_out = data.evaluated(side), is_left_out & (data.sides == side)
        if not known.any() or not left_out.any():
            continue
        records = {}
        for name, values in doubts.items():
            accepted = values <= np.quantile(values[reference], 1.0 - REJECTED)
            rows = known | left_out
            records[name] = {
                "auroc": float(roc_auc_score(left_out[rows], values[rows])),
                "right": float((accepted & right)[known].mean()),
                "wrong": float((accepted & ~right)[known].mean()),
                "rejected": float((~accepted)[known].mean()),
                "left_out_rejected": float((~accepted)[left_out].mean()),
            }
        found[side] = {"n_known": int(known.sum()), "n_left_out": int(left_out.sum()), "doubts": records}
    return found


def _ranks(values: NDArray[np.floating], reference: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of the reference that is smaller than each value, (n,)."""
    return np.searchsorted(np.sort(reference), values) / len(reference)
