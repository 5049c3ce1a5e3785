"""Vectors of all ranks, with the exact gradient: what every rank's loss says about a vector comes back to its owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# renamed in torch 2.14, where the older names warn
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def gather_rows(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """Join the rows of all ranks, in order of rank.

    Forward: all-gather. Backward: the gradients of all ranks are summed and each rank receives those of its own
    rows (reduce-scatter), so that the gradient is that of the sum of all ranks' losses. Without this sum the
    gradient is 1 / n_ranks of the true one in the columns that other ranks use.

    Parameters
    ----------
    rows : (b, d)
        This rank's rows; b may differ between ranks, and be 0.
    sizes : sequence of int
        Number of rows of each rank; one entry if there is one process.

    Returns
    -------
    (sum of sizes, d) tensor
    """
    if len(sizes) == 1:
        return rows
    gathered: Tensor = _GatherRows.apply(rows, tuple(sizes))
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.sizes = sizes
        # collectives want equal shapes: ranks with fewer rows send padding, which is cut off here
        gathered = rows.new_empty((len(sizes), max(sizes), *rows.shape[1:]))
        _all_gather(gathered.flatten(0, 1), _padded(rows, max(sizes)))
        return torch.cat([gathered[rank, :size] for rank, size in enumerate(sizes)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        sizes, rank = ctx.sizes, dist.get_rank()
        if dist.get_backend() == "gloo":  # has no reduce-scatter
            total = gradient.contiguous().clone()
            dist.all_reduce(total)
            first = sum(sizes[:rank])
            return total[first : first + sizes[rank]], None
        blocks = [_padded(block, max(sizes)) for block in torch.split(gradient, sizes)]
        mine = torch.empty_like(blocks[0])
        _reduce_scatter(mine, torch.cat(blocks))
        return mine[: sizes[rank]], None


def _padded(rows: Tensor, size: int) -> Tensor:
    if len(rows) == size:
        return rows.contiguous()
    return torch.cat([rows, rows.new_zeros((size - len(rows), *rows.shape[1:]))])
