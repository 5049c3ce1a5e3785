"""Graph attention over a node's few mesh neighbours as one pass over CSR rows, without features per edge.

The same function as PyG's `GATConv` (Velickovic et al. 2018, eqs. 3 and 6):
e_ij = LeakyReLU(a_dst . W x_i + a_src . W x_j), alpha_ij = softmax_j e_ij over the neighbours of i and i itself,
out_i = sum_j alpha_ij W x_j, for each head. Edge attributes f_ij add a_edge . V f_ij inside the LeakyReLU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytomesh.graph.row_kernels import over_rows

SLOPE = 0.2
"""Of the LeakyReLU, as in the paper."""


@dataclass(frozen=True, slots=True)
class MeshEdges:
    """Edges of an undirected graph with self-loops, as CSR rows.

    Parameters
    ----------
    indptr : (n + 1,) int64
    indices : (e,) int64
        Neighbours of each node, itself among them.
    reverse : (e,) int64
        Position of the edge in the other direction.
    attributes : (e, a) float32, optional
        Of the edges; a loop has the mean of its node's edges, as in PyG.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    reverse: NDArray[np.int64]
    attributes: NDArray[np.float32] | None = None
    _made: dict[tuple[str, torch.device], Tensor] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_adjacency(cls, adjacency: sp.csr_matrix, attributes: NDArray[np.float32] | None = None) -> MeshEdges:
        """Take a symmetric CSR adjacency without loops, and attributes in the order of its entries.

        The values of the adjacency are ignored.
        """
        loops = sp.csr_matrix(adjacency + sp.identity(adjacency.shape[0], format="csr"))
        loops.sort_indices()
        numbers = sp.csr_matrix((np.arange(1, loops.nnz + 1), loops.indices, loops.indptr), shape=loops.shape)
        turned = numbers.T.tocsr()
        turned.sort_indices()
        indptr, indices = loops.indptr.astype(np.int64), loops.indices.astype(np.int64)
        if attributes is not None:
            attributes = _with_loops(adjacency, attributes, indptr, indices)
        return cls(indptr, indices, turned.data.astype(np.int64) - 1, attributes)

    def edge_index(self, device: torch.device) -> Tensor:
        """Return (2, e) int64: source, target; in the order of `indices`."""
        return self.made("edge_index", device, lambda: np.stack([self.indices, self.targets()]))

    def attributes_on(self, device: torch.device) -> Tensor | None:
        """Return the attributes, (e, a) float32, if there are any."""
        attributes = self.attributes
        return None if attributes is None else self.made("attributes", device, lambda: attributes)

    def targets(self) -> NDArray[np.int64]:
        """Return the node that each edge leads to, (e,) int64."""
        return np.repeat(np.arange(self.indptr.size - 1), np.diff(self.indptr))

    def made(self, name: str, device: torch.device, make: Callable[[], NDArray[Any]]) -> Tensor:
        """Return an array on a device that layers need in each pass: made, and copied there, once."""
        if (name, device) not in self._made:
            with torch.inference_mode(False):  # also training may use what is made for a prediction
                self._made[name, device] = torch.from_numpy(make()).to(device)
        return self._made[name, device]


def _with_loops(
    adjacency: sp.csr_matrix, attributes: NDArray[np.float32], indptr: NDArray[np.int64], indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the attributes of the edges and loops, (e, a)."""
    n = adjacency.shape[0]
    numbered = sp.csr_matrix((np.arange(adjacency.nnz), adjacency.indices, adjacency.indptr), shape=(n, n), copy=True)
    numbered.sort_indices()
    is_loop = indices == np.repeat(np.arange(n), np.diff(indptr))
    out = np.empty((indices.size, attributes.shape[1]), np.float32)
    out[~is_loop] = attributes[numbered.data]
    ones = np.ones(adjacency.nnz, np.float32)
    rows = sp.csr_matrix((ones, np.arange(adjacency.nnz), adjacency.indptr), shape=(n, adjacency.nnz))
    out[is_loop] = (rows @ attributes) / np.maximum(np.diff(adjacency.indptr), 1)[:, None]
    return out


def attend(
    x: Tensor,
    to_source: Tensor,
    to_target: Tensor,
    edges: MeshEdges,
    kept: Tensor | None = None,
    to_edge: Tensor | None = None,
) -> Tensor:
    """Attention-weighted means over neighbours, on a CPU.

    Parameters
    ----------
    x : (n, h, c) float
        Projected node vectors of each head.
    to_source, to_target : (n, h) float
        a_src . x_j and a_dst . x_i.
    edges : MeshEdges
    kept : (e, h) float, optional
        Factors on the attention weights: dropout.
    to_edge : (e, h) float, optional
        a_edge . V f_ij.

    Returns
    -------
    (n, h, c) float
    """
    return _Attend.apply(x, to_source, to_target, edges, kept, to_edge)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        to_source: Tensor,
        to_target: Tensor,
        edges: MeshEdges,
        kept: Tensor | None,
        to_edge: Tensor | None,
    ) -> Tensor:
        values, source, target = (as_array(t) for t in (x, to_source, to_target))
        factors = np.empty((0, 0), values.dtype) if kept is None else as_array(kept)
        of_edges = np.empty((0, 0), values.dtype) if to_edge is None else as_array(to_edge)
        out = np.empty_like(values)
        weights = np.empty((edges.indices.size, values.shape[1]), values.dtype)
        links = edges.indptr, edges.indices
        over_rows(_forward, edges.indptr.size - 1, values, source, target, of_edges, *links, factors, weights, out)
        ctx.arrays = values, source, target, of_edges, factors, weights
        ctx.edges = edges
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, source, target, of_edges, factors, weights = ctx.arrays
        edges = ctx.edges
        upstream = as_array(gradient)
        scores = np.empty_like(weights)
        to_values, to_source, to_target = np.empty_like(values), np.empty_like(source), np.empty_like(target)
        over_rows(
            _backward_scores,
            edges.indptr.size - 1,
            values,
            source,
            target,
            of_edges,
            edges.indptr,
            edges.indices,
            factors,
            weights,
            upstream,
            scores,
            to_target,
        )
        over_rows(
            _backward_sources,
            edges.indptr.size - 1,
            upstream,
            edges.indptr,
            edges.indices,
            edges.reverse,
            factors,
            weights,
            scores,
            to_values,
            to_source,
        )
        to_edge = torch.from_numpy(scores) if ctx.needs_input_grad[5] else None
        return *(torch.from_numpy(a) for a in (to_values, to_source, to_target)), None, None, to_edge


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return the values of a tensor on the CPU, contiguous, without its history."""
    return tensor.detach().contiguous().numpy()


KERNEL_OPTIONS = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract", "nsz"}}
"""Sums may be taken in any order; NaN and infinity stay what they are."""


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def mean_of_row(i, h, start, end, highest, values, indices, factors, weights, out):  # type: ignore[no-untyped-def]
    """Turn the scores in `weights` into their softmax, and weigh the neighbours' values with it."""
    channels = values.shape[2]
    has_factors = factors.shape[0] > 0
    total = values.dtype.type(0)
    for e in range(start, end):
        weights[e, h] = np.exp(weights[e, h] - highest)
        total += weights[e, h]
    for c in range(channels):
        out[i, h, c] = 0
    for e in range(start, end):
        weights[e, h] /= total
        weight = weights[e, h] * factors[e, h] if has_factors else weights[e, h]
        j = indices[e]
        for c in range(channels):
            out[i, h, c] += weight * values[j, h, c]


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def products_of_row(i, h, start, end, values, indices, factors, weights, upstream, scores):  # type: ignore[no-untyped-def]
    """Write d loss / d alpha_ij to `scores`; return its mean weighed by alpha, which the softmax takes off."""
    channels = values.shape[2]
    has_factors = factors.shape[0] > 0
    mean = values.dtype.type(0)
    for e in range(start, end):
        j = indices[e]
        product = values.dtype.type(0)
        for c in range(channels):
            product += upstream[i, h, c] * values[j, h, c]
        if has_factors:
            product *= factors[e, h]
        scores[e, h] = product
        mean += weights[e, h] * product
    return mean


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def _forward(  # type: ignore[no-untyped-def]
    start_row, stop_row, values, source, target, of_edges, indptr, indices, factors, weights, out
):
    heads = values.shape[1]
    has_attributes = of_edges.shape[0] > 0
    for i in range(start_row, stop_row):
        start, end = indptr[i], indptr[i + 1]
        for h in range(heads):
            highest = -np.inf
            for e in range(start, end):
                score = source[indices[e], h] + target[i, h]
                if has_attributes:
                    score += of_edges[e, h]
                score = score if score > 0 else SLOPE * score
                weights[e, h] = score
                highest = max(highest, score)
            mean_of_row(i, h, start, end, highest, values, indices, factors, weights, out)


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def _backward_scores(  # type: ignore[no-untyped-def]
    start_row,
    stop_row,
    values,
    source,
    target,
    of_edges,
    indptr,
    indices,
    factors,
    weights,
    upstream,
    scores,
    to_target,
):
    # d loss / d e_ij through the softmax and the LeakyReLU
    heads = values.shape[1]
    has_attributes = of_edges.shape[0] > 0
    for i in range(start_row, stop_row):
        start, end = indptr[i], indptr[i + 1]
        for h in range(heads):
            mean = products_of_row(i, h, start, end, values, indices, factors, weights, upstream, scores)
            total = values.dtype.type(0)
            for e in range(start, end):
                score = source[indices[e], h] + target[i, h]
                if has_attributes:
                    score += of_edges[e, h]
                slope = 1.0 if score > 0 else SLOPE
                scores[e, h] = weights[e, h] * (scores[e, h] - mean) * slope
                total += scores[e, h]
            to_target[i, h] = total


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def _backward_sources(  # type: ignore[no-untyped-def]
    start_row, stop_row, upstream, indptr, indices, reverse, factors, weights, scores, to_values, to_source
):
    # the graph is undirected: the rows that gather from j are those of j's neighbours, so nothing is scattered
    _, heads, channels = upstream.shape
    has_factors = factors.shape[0] > 0
    for j in range(start_row, stop_row):
        start, end = indptr[j], indptr[j + 1]
        for h in range(heads):
            total = upstream.dtype.type(0)
            for c in range(channels):
                to_values[j, h, c] = 0
            for e in range(start, end):
                back = reverse[e]
                i = indices[e]
                weight = weights[back, h] * factors[back, h] if has_factors else weights[back, h]
                for c in range(channels):
                    to_values[j, h, c] += weight * upstream[i, h, c]
                total += scores[back, h]
            to_source[j, h] = total
