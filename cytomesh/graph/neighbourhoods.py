"""Neighbourhoods on the mesh: means over hops, values missing filled in from around, the nearest of some nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

from cytomesh.graph.row_kernels import over_rows

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
FloatT = TypeVar("FloatT", np.float32, np.float64)

SMOOTHING_STEPS = 20
"""Jacobi steps that turn a ring-by-ring filling towards a harmonic one."""


def neighbour_means(values: Floats, is_known: Mask, adjacency: sp.csr_matrix, hops: Sequence[int], kind: str) -> Floats:
    """Means over neighbourhoods of several sizes, side by side.

    Parameters
    ----------
    values : (n, d) float32
        Rows that are not known are ignored.
    is_known : (n,) bool
    adjacency : (n, n) CSR, binary, symmetric
    hops : ascending ints
    kind : {"walk", "disc"}
        See `InputsConfig.neighbourhood`.

    Returns
    -------
    (n, d * len(hops)) float32; rows without any known node in their neighbourhood are NaN.

    Examples
    --------
    >>> from cytomesh import load_features, load_graphs
    >>> graph = load_graphs("run")[0]
    >>> values = load_features("run", "vit", graph)
    >>> around = neighbour_means(values, graph.is_linked, graph.adjacency, (0, 1, 3), "walk")
    >>> around.shape[1] == 3 * values.shape[1]
    True
    """
    if kind == "disc":
        return _discs(values, is_known, adjacency, hops)
    closed = (adjacency + sp.identity(adjacency.shape[0], format="csr")).astype(np.float32)
    weight = closed @ is_known.astype(np.float32)
    current = np.where(is_known[:, None], values, np.float32(0))
    columns = []
    for hop in range(hops[-1] + 1):
        if hop in hops:
            columns.append(np.where(is_known[:, None], current, np.float32(np.nan)))
        if hop < hops[-1]:
            current = np.where(is_known[:, None], (closed @ current) / np.maximum(weight, 1)[:, None], np.float32(0))
    return np.hstack(columns)


def hop_mean(adjacency: sp.csr_matrix, values: NDArray[FloatT], hops: int) -> NDArray[FloatT]:
    """Replace each row by the mean of itself and its neighbours, `hops` times."""
    walk = sp.csr_matrix(adjacency + sp.identity(adjacency.shape[0], format="csr"))
    walk = sp.diags_array(1.0 / np.asarray(walk.sum(axis=1)).ravel()) @ walk
    for _ in range(hops):
        values = walk @ values
    return values


def fill_rings(
    rows: NDArray[FloatT], is_known: Mask, adjacency: sp.csr_matrix, max_hops: float = np.inf
) -> tuple[NDArray[FloatT], Mask]:
    """Fill unknown rows ring by ring outwards from the known ones, by the mean of the neighbours reached so far.

    Parameters
    ----------
    rows : (n, d) float
        What unknown rows hold does not matter.
    is_known : (n,) bool
    max_hops : float
        Rows farther from a known one stay 0.

    Returns
    -------
    filled : (n, d) float
    is_filled : (n,) bool
        Known rows, and those that were reached.
    """
    links = adjacency.astype(rows.dtype)
    filled = np.where(is_known[:, None], rows, rows.dtype.type(0))
    is_filled = is_known.copy()
    hop = 0
    while hop < max_hops:
        weight = links @ is_filled.astype(rows.dtype)
        ring = ~is_filled & (weight > 0)
        if not ring.any():
            break
        filled[ring] = (links[ring] @ filled) / weight[ring, None]
        is_filled |= ring
        hop += 1
    return filled, is_filled


def impute(values: Floats, adjacency: sp.csr_matrix) -> tuple[Floats, int]:
    """Fill rows that hold NaN from around them.

    Ring by ring (`fill_rings`), then smoothed with the known nodes held fixed, which approaches the harmonic
    interpolation. Components without a known node become 0, the training mean of standardised inputs.

    Returns
    -------
    filled : (n, d) float32
    n_unreachable : int
        Nodes that became 0.
    """
    is_known: Mask = np.asarray(~np.isnan(values).any(axis=1))
    filled, is_filled = fill_rings(values, is_known, adjacency)
    missing = np.flatnonzero(is_filled & ~is_known)
    around = adjacency.astype(np.float32)[missing]
    degree = np.asarray(around.sum(axis=1)).reshape(-1, 1)
    for _ in range(SMOOTHING_STEPS if missing.size else 0):
        filled[missing] = (around @ filled) / degree
    return filled, int((~is_filled).sum())


def nearest_source(adjacency: sp.csr_matrix, sources: NDArray[np.int64], max_hops: float = np.inf) -> NDArray[np.int64]:
    """Return for each node the position in `sources` of the nearest one by hops; -1 where none is in reach."""
    n = adjacency.shape[0]
    if not sources.size:
        return np.full(n, -1, np.int64)
    _, _, nearest = dijkstra(
        adjacency, indices=sources, unweighted=True, min_only=True, return_predecessors=True, limit=max_hops
    )
    position = np.full(n + 1, -1, np.int64)
    position[sources] = np.arange(sources.size)
    return np.asarray(position[np.where(nearest < 0, n, nearest)])


def _discs(values: Floats, is_known: Mask, adjacency: sp.csr_matrix, hops: Sequence[int]) -> Floats:
    n, d = values.shape
    out = np.empty((n, d * len(hops)), np.float32)
    clean = np.where(is_known[:, None], values, np.float32(0))
    links = adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int64)
    over_rows(_disc_sums, n, clean, is_known, *links, np.asarray(hops, np.int64), out)
    return out


@numba.njit(nogil=True, cache=True)  # pragma: no cover
def _disc_sums(first, last, values, is_known, indptr, indices, hops, out):  # type: ignore[no-untyped-def]
    n, d = values.shape
    seen = np.full(n, -1, np.int64)
    queue = np.empty(n, np.int64)
    total = np.empty(d, np.float64)
    for node in range(first, last):
        total[:] = 0.0
        count = 0
        queue[0] = node
        seen[node] = node
        start, end, slot = 0, 1, 0
        for hop in range(hops[-1] + 1):
            for position in range(start, end):
                other = queue[position]
                if is_known[other]:
                    count += 1
                    for k in range(d):
                        total[k] += values[other, k]
            if hop == hops[slot]:
                for k in range(d):
                    out[node, slot * d + k] = total[k] / count if count else np.nan
                slot += 1
            ring_end = end
            for position in range(start, ring_end):
                for link in range(indptr[queue[position]], indptr[queue[position] + 1]):
                    other = indices[link]
                    if seen[other] != node:
                        seen[other] = node
                        queue[end] = other
                        end += 1
            start = ring_end
