"""Do parcels come back in another brain? Agreement where brains correspond, for every two brains of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.tables import Table
from cytomesh.graph.storage import CortexGraph
from cytomesh.parcellate.consensus import pair_scores
from cytomesh.parcellate.stability import beside_nulls


def brain_scores(
    graphs: Sequence[CortexGraph],
    places: Sequence[NDArray[np.float64]],
    parcels: Mapping[str, NDArray[Any]],
    nulls: Mapping[str, Table],
    radius_mm: float,
) -> list[dict[str, Any]]:
    """Carry the parcels of each brain to each later one, hemisphere by hemisphere, and compare.

    A node takes the parcel of the nearest parcellated node of the other brain, if there is one within `radius_mm`.

    Parameters
    ----------
    places : sequence of (n, 3) float64
        Where the nodes of each graph lie in a space that brains share, mm.
    parcels : mapping from graph name to (n,) int
        Parcel of every node, 0 where there is none.
    nulls : mapping from graph name to Table
        Columns tiling_<i> and noise_<i> (see `outputs.write_nulls`): geometry-only parcels, and parcels by the same
        method of random numbers. Geometry: two tilings; noise: parcels of the one brain, noise in the other.

    Returns
    -------
    list of dict
        graphs (two names), n_nodes, and ami, ari, co_assignment as in `stability.beside_nulls`.
    """
    result = []
    for (one, here_mm), (two, there_mm) in combinations(zip(graphs, places, strict=True), 2):
        if one.brain == two.brain or one.hemisphere != two.hemisphere:
            continue
        to = np.flatnonzero(parcels[one.name] > 0)
        there = np.flatnonzero(parcels[two.name] > 0)
        distance, nearest = cKDTree(there_mm[there]).query(here_mm[to], distance_upper_bound=radius_mm)
        is_near = np.isfinite(distance)
        here, partner = to[is_near], there[nearest[is_near]]
        if not here.size:
            continue

        def score(a: NDArray[Any], b: NDArray[Any], here: NDArray[Any] = here, partner: NDArray[Any] = partner) -> Any:
            return pair_scores(a[here].astype(np.int64), b[partner].astype(np.int64))

        pair = nulls[one.name], nulls[two.name]
        tilings, noise = (
            [[table[name] for name in sorted(table.columns) if name.startswith(kind)] for table in pair]
            for kind in ("tiling", "noise")
        )
        rows = {
            "": [score(parcels[one.name], parcels[two.name])],
            # tilings of one number start alike in brains of like size: each with the next one
            "geometry": [score(a, b) for a, b in zip(tilings[0], tilings[1][1:] + tilings[1][:1], strict=False)],
            "noise": [score(parcels[one.name], other) for other in noise[1]]
            + [score(other, parcels[two.name]) for other in noise[0]],
        }
        result.append({"graphs": [one.name, two.name], "n_nodes": len(here), **beside_nulls(rows)})
    return result
