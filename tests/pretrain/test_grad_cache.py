"""Parts of a batch give the gradient of the whole batch, on one process and on several ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pretrain_cases import N_AREAS, contrastive_terms, random_batch, shares
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from cytomesh.core.distributed import world
from cytomesh.pretrain.grad_cache import backward_in_parts
from cytomesh.pretrain.loss import Outputs, Term, batch_loss
from cytomesh.pretrain.objectives.supervised import Supervised

N = 21


class TwoHeads(nn.Module):
    """An encoder with dropout and layer norm, and both heads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.3)).double()
        self.head, self.classifier = nn.Linear(16, 8).double(), nn.Linear(16, N_AREAS).double()

    def forward(self, x: torch.Tensor) -> Outputs:
        features = self.body(x)
        return Outputs(functional.normalize(self.head(features), dim=1), self.classifier(features))


def gradients(here, n_parts: int, is_cached: bool) -> dict[str, np.ndarray]:
    batch = random_batch(N)
    inputs = torch.randn((N, 12), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    rows = shares(N, here.size, True)
    pieces = inputs[rows[here.rank]].tensor_split(min(n_parts, len(inputs[rows[here.rank]])))
    terms = [contrastive_terms()[0], Term("supervised", Supervised(torch.arange(1, N_AREAS + 1)), weight=0.5)]
    model = TwoHeads()
    parallel = DistributedDataParallel(model) if here.size > 1 else model

    def encode(part: int) -> Outputs:
        torch.manual_seed(100 + part)
        return Outputs(*parallel(pieces[part]))

    def loss_of(outputs: Outputs):
        return batch_loss(outputs, batch, [part.stop - part.start for part in rows], here.rank, terms)

    if is_cached:
        loss, _ = backward_in_parts(parallel, encode, len(pieces), loss_of, lambda value: value.backward())
    else:  # the whole graph in memory
        parts = [encode(part) for part in range(len(pieces))]
        loss = loss_of(Outputs(*(torch.cat(column) for column in zip(*parts, strict=True))))
        loss.for_backward.backward()
    result = {name: parameter.grad.numpy().copy() for name, parameter in model.named_parameters()}
    return {**result, "loss": loss.total.numpy()}


@pytest.mark.parametrize("n_parts", [1, 2, 5])
def test_parts_give_the_gradient_of_the_whole_batch(n_parts):
    with world("cpu", threads=1) as here:
        cached, whole = (gradients(here, n_parts, flag) for flag in (True, False))
    for name, expected in whole.items():
        np.testing.assert_allclose(cached[name], expected, rtol=1e-10, atol=1e-12, err_msg=name)


def parts_on_rank(folder: Path) -> None:
    with world("cpu", threads=1) as here:
        np.savez(folder / f"{here.rank}.npz", **gradients(here, 3, True))


def test_two_ranks_exchange_gradients_once(gloo, tmp_path):
    gloo(parts_on_rank, 2, tmp_path)
    first, second = (dict(np.load(tmp_path / f"{rank}.npz")) for rank in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(np.abs(first[name]).max() > 1e-6 for name in first)


def test_running_statistics_count_each_part_once():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    data = torch.randn((6, 4), generator=torch.Generator().manual_seed(0))
    once = nn.BatchNorm1d(8)
    with torch.no_grad():
        for part in range(2):
            once(model[0](data[3 * part : 3 * part + 3]))
    batch = random_batch(6, dtype=torch.float32)

    def encode(part: int) -> Outputs:
        return Outputs(functional.normalize(model(data[3 * part : 3 * part + 3]), dim=1))

    def loss_of(outputs: Outputs):
        return batch_loss(outputs, batch, [6], 0, [contrastive_terms()[0]])

    backward_in_parts(model, encode, 2, loss_of, lambda value: value.backward())
    torch.testing.assert_close(model[1].running_mean, once.running_mean)
    torch.testing.assert_close(model[1].running_var, once.running_var)
