"""How near the borders of parcels lie to the borders of areas."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from cytomesh.parcellate.affinity import edge_list


class BorderDistance:
    """Distances between the borders of a fixed parcellation and those of any areas on the same mesh.

    Parameters
    ----------
    parcels : (m,) int
        Every node has one.
    lengths : (m, m) CSR
        Edge lengths, mm (see `surface.mesh.edge_lengths`).
    """

    def __init__(self, parcels: NDArray[Any], lengths: sp.csr_matrix) -> None:
        self._lengths = lengths
        self._ends = edge_list(lengths)
        i, j = self._ends
        crossing = parcels[i] != parcels[j]
        self._border = np.unique(np.concatenate([i[crossing], j[crossing]]))
        self._to_parcels = _distance(lengths, self._border)

    def to(self, areas: NDArray[Any]) -> dict[str, float]:
        """Compare with areas, (m,) int, 0 where there is none: such nodes are on no border and don't count.

        Returns
        -------
        dict
            areas_to_parcels_mm: mean distance along the mesh from a node on a border between two areas to the nearest
            node on a border between two parcels; parcels_to_areas_mm: the other way; border_distance_mm: the mean of
            both. Empty where either has no border.
        """
        i, j = self._ends
        crossing = (areas[i] != areas[j]) & (areas[i] > 0) & (areas[j] > 0)
        of_areas = np.unique(np.concatenate([i[crossing], j[crossing]]))
        of_parcels = self._border[areas[self._border] > 0]
        if not of_areas.size or not of_parcels.size:
            return {}
        there = self._to_parcels[of_areas]
        back = _distance(self._lengths, of_areas)[of_parcels]
        # islands of the mesh without a border are infinitely far
        one, two = (float(values[np.isfinite(values)].mean()) for values in (there, back))
        return {"areas_to_parcels_mm": one, "parcels_to_areas_mm": two, "border_distance_mm": 0.5 * (one + two)}


def _distance(lengths: sp.csr_matrix, sources: NDArray[np.int64]) -> NDArray[np.float64]:
    if not sources.size:
        return np.full(lengths.shape[0], np.inf)
    return np.asarray(dijkstra(lengths, indices=sources, min_only=True), np.float64)
