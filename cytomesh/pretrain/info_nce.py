"""Weighted InfoNCE: the one loss behind every contrastive objective, exact and in small memory.

For anchor i among n others, with unit vectors z, weights w and temperature tau,

    L_i = - 1 / sum_{j != i} w_ij * sum_{j != i} w_ij log( exp(<z_i, z_j> / tau) / sum_{k != i} exp(<z_i, z_k> / tau) )

which is the loss of probability-guided learning with the outer normaliser, too, over j != i; y-aware InfoNCE
(Dufumier et al., 2021), supervised contrastive learning (Khosla et al., 2020, eq. 2) and NT-Xent (Chen et al.,
2020) are the same with other weights. An anchor without any weight gives 0 / 0: it is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

RowWeights = Callable[[slice], Tensor]
"""Weights of some anchors: rows of the (b, n) weight matrix, in the dtype of the vectors or convertible to it."""

# A row chunk of logits of this many elements (16 MB in float32) stays near the cache and feeds the matrix product.
CHUNK_ELEMENTS = 1 << 22


def weighted_info_nce(
    anchors: Tensor,
    others: Tensor,
    weights: RowWeights,
    *,
    temperature: float,
    first: int = 0,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """Return the sum of L_i over the anchors that have weight, and their number.

    The sum, not the mean: with several ranks the mean is over the anchors of all of them. Logits are made for a
    few anchors at a time against all others, turned into their share of the gradient at once, and dropped: one pass and
    three matrix products, as in the dense form, in O(chunk_elements + n d) memory instead of O(b n).

    Parameters
    ----------
    anchors : (b, d)
        Unit vectors; half precision is computed in float32.
    others : (n, d)
        Unit vectors of all ranks, the anchors among them.
    weights : callable
        Non-negative weights of a slice of anchors against all others; the weight of an anchor to itself is ignored.
    temperature : float
        tau.
    first : int
        Row of `others` that is anchor 0; the others follow in order.
    chunk_elements : int
        Logits held at a time.

    Returns
    -------
    total : () tensor
        Differentiable with respect to `anchors` and `others`.
    n_anchors : () int64 tensor
        Anchors with weight.

    Examples
    --------
    >>> import torch
    >>> vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), dim=1)
    >>> alike = torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])  # the first two; the third is no anchor
    >>> total, n_anchors = weighted_info_nce(vectors, vectors, lambda rows: alike[rows], temperature=0.1)
    >>> round(float(total / n_anchors), 4), int(n_anchors)
    (0.0001, 2)
    """
    total, count = _WeightedInfoNCE.apply(anchors, others, weights, temperature, first, chunk_elements)
    return total, count


class _WeightedInfoNCE(torch.autograd.Function):
    """The gradient is linear in the one number that comes back, so it is built in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, others: Tensor, weights: RowWeights, temperature: float, first: int, elements: int
    ) -> tuple[Tensor, Tensor]:
        # an autocast region would take the products below back to half precision
        with torch.autocast(anchors.device.type, enabled=False):
            dtype = torch.promote_types(anchors.dtype, torch.float32)
            z, y = anchors.detach().to(dtype), others.detach().to(dtype)
            wants_gradient = any(ctx.needs_input_grad[:2])
            grad_anchors, grad_others = torch.zeros_like(z), torch.zeros_like(y)
            total = torch.zeros((), dtype=torch.float64, device=z.device)
            count = torch.zeros((), dtype=torch.int64, device=z.device)
            step = max(1, elements // max(1, len(y)))
            for start in range(0, len(z), step):
                rows = slice(start, min(start + step, len(z)))
                loss, has_weight, grad_logits = _chunk(z[rows], y, weights(rows), temperature, first + start)
                total += loss.sum(dtype=torch.float64)
                count += has_weight.sum()
                if wants_gradient:
                    torch.mm(grad_logits, y, out=grad_anchors[rows])
                    grad_others.addmm_(grad_logits.T, z[rows])
        ctx.save_for_backward(grad_anchors, grad_others)
        ctx.dtypes = anchors.dtype, others.dtype
        ctx.mark_non_differentiable(count)
        return total.to(dtype), count

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, grad_count: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG004
        if torch.is_grad_enabled():  # create_graph: to autograd the gradients of the forward pass are constants
            raise NotImplementedError("weighted_info_nce has no second derivative: call backward without create_graph")
        grad_anchors, grad_others = ctx.saved_tensors
        dtype_anchors, dtype_others = ctx.dtypes
        return (
            (grad_anchors * grad_total).to(dtype_anchors),
            (grad_others * grad_total).to(dtype_others),
            None,
            None,
            None,
            None,
        )


def _chunk(z: Tensor, y: Tensor, weights: Tensor, temperature: float, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return L_i (0 without weight), whether i has weight, and dL_i / d<z_i, y_j>, for the rows z of the anchors."""
    diagonal = torch.arange(len(z), device=z.device)
    logits = (z @ y.T).div_(temperature)
    logits[diagonal, diagonal + first] = -torch.inf
    weights = weights.to(logits.dtype, copy=True)
    weights[diagonal, diagonal + first] = 0
    sums = weights.sum(dim=1, keepdim=True)
    has_weight = ~(sums[:, 0] <= 0)  # NaN has: the loss has to show it
    weights.div_(torch.where(has_weight[:, None], sums, 1.0))
    normaliser = torch.logsumexp(logits, dim=1)
    logits[diagonal, diagonal + first] = 0  # 0 * -inf is not a number
    attraction = torch.linalg.vecdot(weights, logits)
    loss = torch.where(has_weight, normaliser - attraction, 0.0)
    logits[diagonal, diagonal + first] = -torch.inf
    grad_logits = logits.sub_(normaliser[:, None]).exp_().sub_(weights).div_(temperature)
    grad_logits.masked_fill_(~has_weight[:, None], 0.0)
    return loss, has_weight, grad_logits
