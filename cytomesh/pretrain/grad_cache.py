"""Batches larger than memory, with the loss and the gradient of the whole batch.

Adding up the gradients of parts would contrast each patch with its own part only. Instead (GradCache: Gao et al.,
"Scaling deep contrastive learning batch size under memory limited setup", RepL4NLP 2021) all parts are encoded without
keeping what the backward pass needs, the loss of the whole batch gives the gradient of each vector, and each part is
encoded again to carry its vectors' gradient back to the weights: one more forward pass for the memory of one part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from cytomesh.pretrain.loss import LossValue, Outputs


def backward_in_parts(
    model: nn.Module,
    encode: Callable[[int], Outputs],
    n_parts: int,
    loss_of: Callable[[Outputs], LossValue],
    backward: Callable[[Tensor], None],
) -> tuple[LossValue, Outputs]:
    """Add the gradient of a loss over the outputs of all parts to the model's weights.

    Parameters
    ----------
    model : nn.Module
        Under DDP, gradients are exchanged once, with the last part.
    encode : callable
        The outputs of a part, the same whenever it is called with the same number: it seeds dropout itself.
    n_parts : int
        Batch norm sees one part at a time; without batch statistics, the gradient is that of the whole batch.
    loss_of : callable
        The loss of all outputs.
    backward : callable
        Runs a backward pass from the number given (a loss scaler's place).

    Returns
    -------
    loss : LossValue
    outputs : Outputs
        Of all parts, detached.
    """
    with torch.no_grad(), _still_statistics(model):
        parts = [encode(part) for part in range(n_parts)]
    leaves = Outputs(*(_leaf(list(column)) for column in zip(*parts, strict=True)))
    loss = loss_of(leaves)
    backward(loss.for_backward)
    gradients = [_split(leaf, [_length(part) for part in parts]) for leaf in leaves]
    for part in range(n_parts):
        is_last = part == n_parts - 1
        apart = model.no_sync() if isinstance(model, DistributedDataParallel) and not is_last else nullcontext()
        with apart:
            pairs = [
                (tensor, column[part])
                for tensor, column in zip(encode(part), gradients, strict=True)
                if tensor is not None and column is not None
            ]
            torch.autograd.backward([tensor for tensor, _ in pairs], [gradient for _, gradient in pairs])
    return loss, Outputs(*(None if leaf is None else leaf.detach() for leaf in leaves))


def _leaf(column: Sequence[Tensor | None]) -> Tensor | None:
    tensors = [tensor for tensor in column if tensor is not None]
    return torch.cat(tensors).requires_grad_() if tensors else None


def _length(outputs: Outputs) -> int:
    return next(len(tensor) for tensor in outputs if tensor is not None)


def _split(leaf: Tensor | None, sizes: list[int]) -> Sequence[Tensor] | None:
    if leaf is None:
        return None
    gradient = leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)
    parts: Sequence[Tensor] = torch.split(gradient, sizes)
    return parts


@contextmanager
def _still_statistics(model: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norm alone: every part passes twice and must count once."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
