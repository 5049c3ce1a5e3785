"""Dynamic graph attention (GATv2) as one pass over CSR rows, without features per edge.

The same function as PyG's `GATv2Conv` (Brody et al. 2022, eq. 7), with source and target projections of their own:
e_ij = a . LeakyReLU(x_i + y_j), alpha_ij = softmax_j e_ij over the neighbours of i and i itself,
out_i = sum_j alpha_ij y_j, for each head. The scores of the edges depend on every channel; they are made again in the
backward pass rather than kept.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from cytomesh.classify.attention import (
    KERNEL_OPTIONS,
    SLOPE,
    MeshEdges,
    as_array,
    mean_of_row,
    products_of_row,
)
from cytomesh.graph.row_kernels import ROWS_PER_TASK, over_rows


def attend_v2(
    source: Tensor, target: Tensor, attention: Tensor, edges: MeshEdges, kept: Tensor | None = None
) -> Tensor:
    """Attention-weighted means over neighbours, on a CPU.

    Parameters
    ----------
    source, target : (n, h, c) float
        Node vectors y_j as seen by others, x_i as they look at others.
    attention : (h, c) float
        The vector a of each head.
    edges : MeshEdges
    kept : (e, h) float, optional
        Factors on the attention weights: dropout.

    Returns
    -------
    (n, h, c) float
    """
    return _AttendV2.apply(source, target, attention, edges, kept)


class _AttendV2(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, source: Tensor, target: Tensor, attention: Tensor, edges: MeshEdges, kept: Tensor | None
    ) -> Tensor:
        y, x, a = (as_array(t) for t in (source, target, attention))
        factors = np.empty((0, 0), y.dtype) if kept is None else as_array(kept)
        out = np.empty_like(y)
        weights = np.empty((edges.indices.size, y.shape[1]), y.dtype)
        over_rows(_forward, len(y), y, x, a, edges.indptr, edges.indices, factors, weights, out)
        ctx.arrays = y, x, a, factors, weights
        ctx.edges = edges
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        y, x, a, factors, weights = ctx.arrays
        edges, upstream = ctx.edges, as_array(gradient)
        links = edges.indptr, edges.indices
        scores, to_target, to_source = np.empty_like(weights), np.empty_like(x), np.empty_like(y)
        # one sum a block of rows, added up in order: the same whatever the number of threads
        to_attention = np.zeros((-(-len(y) // ROWS_PER_TASK), *a.shape), y.dtype)
        over_rows(
            _backward_targets, len(y), y, x, a, *links, factors, weights, upstream, scores, to_target, to_attention
        )
        over_rows(
            _backward_sources, len(y), y, x, a, *links, edges.reverse, factors, weights, upstream, scores, to_source
        )
        return *(torch.from_numpy(g) for g in (to_source, to_target, to_attention.sum(axis=0))), None, None


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def _forward(first, last, y, x, a, indptr, indices, factors, weights, out):  # type: ignore[no-untyped-def]
    _, heads, channels = y.shape
    slope = y.dtype.type(SLOPE)
    for i in range(first, last):
        start, end = indptr[i], indptr[i + 1]
        for h in range(heads):
            highest = -np.inf
            for e in range(start, end):
                j = indices[e]
                score = y.dtype.type(0)
                for c in range(channels):
                    s = y[j, h, c] + x[i, h, c]
                    score += a[h, c] * max(s, slope * s)
                weights[e, h] = score
                highest = max(highest, score)
            mean_of_row(i, h, start, end, highest, y, indices, factors, weights, out)


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def _backward_targets(  # type: ignore[no-untyped-def]
    first, last, y, x, a, indptr, indices, factors, weights, upstream, scores, to_target, to_attention
):
    _, heads, channels = y.shape
    slope = y.dtype.type(SLOPE)
    for i in range(first, last):
        start, end = indptr[i], indptr[i + 1]
        block = i // ROWS_PER_TASK
        for h in range(heads):
            mean = products_of_row(i, h, start, end, y, indices, factors, weights, upstream, scores)
            for c in range(channels):
                to_target[i, h, c] = 0
            for e in range(start, end):
                scores[e, h] = weights[e, h] * (scores[e, h] - mean)
                score = scores[e, h]
                j = indices[e]
                for c in range(channels):
                    s = y[j, h, c] + x[i, h, c]
                    to_attention[block, h, c] += score * max(s, slope * s)
                    to_target[i, h, c] += score * a[h, c] * (y.dtype.type(1) if s > 0 else slope)


@numba.njit(**KERNEL_OPTIONS)  # pragma: no cover
def _backward_sources(  # type: ignore[no-untyped-def]
    first, last, y, x, a, indptr, indices, reverse, factors, weights, upstream, scores, to_source
):
    # the graph is undirected: the rows that gather from j are those of j's neighbours, so nothing is scattered
    _, heads, channels = y.shape
    has_factors = factors.shape[0] > 0
    slope = y.dtype.type(SLOPE)
    for j in range(first, last):
        start, end = indptr[j], indptr[j + 1]
        for h in range(heads):
            for c in range(channels):
                to_source[j, h, c] = 0
            for e in range(start, end):
                back = reverse[e]
                i = indices[e]
                weight = weights[back, h] * factors[back, h] if has_factors else weights[back, h]
                score = scores[back, h]
                for c in range(channels):
                    s = y[j, h, c] + x[i, h, c]
                    to_source[j, h, c] += weight * upstream[i, h, c] + score * a[h, c] * (
                        y.dtype.type(1) if s > 0 else slope
                    )
