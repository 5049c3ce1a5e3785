"""Counts, areas and means of cells by groups - nodes, bins of depth, a whole hemisphere - and layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.analyze.cells.table import Values

LAYERS = ("I", "II", "III", "IV", "V", "VI")
N_GROUPS = 1 + len(LAYERS)
"""Column 0 of every sum is of all layers, with the cortex whose layer is not known."""
UNITS = {"_mm2": "mm2", "_um": "um", "_um2": "um2", "_per_mm2": "1/mm2", "_per_mm3": "1/mm3"}
"""By the end of a column's name; the last that fits counts."""
LEAST_POINTS = 4
"""Of the grid: of less cortex than they stand for there is no density."""


@dataclass
class Tally:
    """Sums over cells and over cortex, for r groups by all and by each of the six layers.

    Parameters
    ----------
    seen : (r, 7) float64
        Cells.
    cells : (r, 7) float64
        Cells that they stand for (see `volume.abercrombie`).
    mm2, mm3 : (r, 7) float64
        Cortex in the sections, and of living tissue (NaN if it is not known).
    sums : dict of str to ((r, 7), (r, 7)) float64
        Of each measure: its weighted sum, and the weights of the cells that have it.
    """

    seen: Values
    cells: Values
    mm2: Values
    mm3: Values
    sums: dict[str, tuple[Values, Values]] = field(default_factory=dict)

    @classmethod
    def empty(cls, n_groups: int) -> Tally:
        """Return sums of nothing."""
        shape = (n_groups, N_GROUPS)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def add_cells(
        self, member: sp.csr_matrix, layer: NDArray[np.int8], weight: Values, measures: Mapping[str, Values]
    ) -> None:
        """Add cells: `member` is (r, n), 1 where a cell belongs to a group; the others are (n,)."""
        self.seen += by_layer(member, layer, np.ones(len(layer)))
        self.cells += by_layer(member, layer, weight)
        for name, values in measures.items():
            known = np.isfinite(values)
            total, of = self.sums.setdefault(name, (np.zeros_like(self.seen), np.zeros_like(self.seen)))
            total += by_layer(member, layer, np.where(known, weight * np.nan_to_num(values), 0.0))
            of += by_layer(member, layer, np.where(known, weight, 0.0))

    def add_cortex(self, member: sp.csr_matrix, layer: NDArray[np.int8], mm2: float, mm3: float) -> None:
        """Add points of the grid, each of which stands for so much cortex; `member` is (r, n), `layer` (n,)."""
        points = by_layer(member, layer, np.ones(len(layer)))
        self.mm2 += mm2 * points
        self.mm3 += mm3 * points if np.isfinite(mm3) else np.nan

    def columns(self, least_mm2: float, *, has_layers: bool) -> dict[str, Values]:
        """Return the measures of each group, (r,) each: `density_III_per_mm2`, `area_um2`, ...; NaN where none is.

        Parameters
        ----------
        least_mm2 : float
            Of less cortex no density is given.
        has_layers : bool
            Whether layers are told apart.
        """
        found: dict[str, Values] = {}
        is_volume = bool(np.isfinite(self.mm3).all())
        for k in range(N_GROUPS if has_layers else 1):
            part = f"_{LAYERS[k - 1]}" if k else ""
            is_enough = self.mm2[:, k] >= least_mm2
            found[f"n_cells{part}"] = np.where(is_enough, self.seen[:, k], np.nan)
            found[f"cortex{part}_mm2"] = self.mm2[:, k]
            found[f"density{part}_per_mm2"] = _ratio(self.seen[:, k], self.mm2[:, k], is_enough)
            if is_volume:
                found[f"density{part}_per_mm3"] = _ratio(self.cells[:, k], self.mm3[:, k], is_enough)
            for name, (total, weight) in self.sums.items():
                stem, _, unit = name.partition("_")
                found[f"{stem}{part}_{unit}" if unit else f"{stem}{part}"] = _ratio(
                    total[:, k], weight[:, k], is_enough & (weight[:, k] > 0)
                )
        return found


def units(columns: Iterable[str]) -> dict[str, str]:
    """Return the unit of each column, as its name ends."""
    return {name: unit for name in columns for end, unit in UNITS.items() if name.endswith(end)}


def by_layer(member: sp.csr_matrix, layer: NDArray[np.int8], values: Values) -> Values:
    """Return sums of values over the members of each group, (r, 7): of all, and of layers I to VI."""
    return np.column_stack([member @ values] + [member @ np.where(layer == k, values, 0.0) for k in range(1, N_GROUPS)])


def everyone(n: int) -> sp.csr_matrix:
    """Return one group of all, (1, n)."""
    return sp.csr_matrix(np.ones((1, n)))


def bins_of_depth(depth: Values, n_bins: int) -> sp.csr_matrix:
    """Return bins of equal width from pial to white, (n_bins, n)."""
    which = np.minimum((depth * n_bins).astype(np.int64), n_bins - 1)
    return sp.csr_matrix((np.ones(len(depth)), (which, np.arange(len(depth)))), shape=(n_bins, len(depth)))


def columns_of_nodes(feet: Values, links: Values, rows: NDArray[np.int64], n: int, radius_mm: float) -> sp.csr_matrix:
    """Return the column of cortex of each node, (n, m).

    Parameters
    ----------
    feet : (m, 3) float64
        Places on the midsurface.
    links : (k, 3) float64
        Link points of the nodes that are linked to this section, world mm.
    rows : (k,) int64
        Which nodes these are, of n.
    radius_mm : float
        What is no further from a node's link point belongs to it; it may belong to several.
    """
    if not len(feet) or not len(links):
        return sp.csr_matrix((n, len(feet)))
    near = cKDTree(links).sparse_distance_matrix(cKDTree(feet), radius_mm, output_type="coo_matrix")
    return sp.csr_matrix((np.ones(near.nnz), (rows[near.row], near.col)), shape=(n, len(feet)))


def _ratio(above: Values, below: Values, where: NDArray[np.bool_]) -> Values:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=where)
