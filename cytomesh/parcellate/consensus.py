"""How far two parcellations of the same nodes put the same nodes together: the consensus matrix without the matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytomesh.parcellate.evaluate import agreement, contingency


def node_agreement(one: NDArray[np.int64], two: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compare the parcel of each node in two parcellations: nodes in both over nodes in either.

    With M the matrix that is 1 where two nodes share a parcel (the consensus matrix of Monti et al., Consensus
    clustering, 2003, averages such matrices), this is the Jaccard index of row i of M in the one and in the other. All
    nodes of a parcel have one of few rows, so that a table of parcels by parcels is all that is needed.

    Parameters
    ----------
    one, two : (m,) int64
        Any labels; their numbers need not match.

    Returns
    -------
    (m,) float64
        0..1; 1 where the two parcels are the same set.
    """
    table = contingency(one, two)
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (one, two))
    return np.asarray((table / union)[rows, columns], np.float64)


def node_confidence(parcels: NDArray[np.int64], others: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return the mean agreement of each node's parcel with its parcels in other parcellations, (m,) in 0..1."""
    return np.asarray(np.mean([node_agreement(parcels, other) for other in others], axis=0), np.float64)


def pair_scores(one: NDArray[np.int64], two: NDArray[np.int64]) -> dict[str, float]:
    """Return ami, ari and co_assignment (the mean of `node_agreement`) of two parcellations of the same nodes."""
    found = agreement(one, two - two.min() + 1)
    scores: dict[str, float] = {name: found[name] for name in ("ami", "ari") if name in found}
    return {**scores, "co_assignment": float(node_agreement(one, two).mean())}
