"""Cross-entropy of annotated patches, term by term."""

from __future__ import annotations

import math

import pytest
import torch
from pretrain_cases import N_AREAS, random_batch

from cytomesh.pretrain.loss import Outputs, Term, batch_loss
from cytomesh.pretrain.objectives.supervised import Supervised


def test_loss_equals_the_loops():
    batch = random_batch(20)
    areas = torch.arange(1, N_AREAS + 1) * 10  # labels need not be 1, 2, 3, ...
    batch.area.mul_(10)
    logits = torch.randn((20, N_AREAS), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    total, count = 0.0, 0
    for i in range(20):
        if area := int(batch.area[i]):
            odds = [math.exp(float(value)) for value in logits[i]]
            total -= math.log(odds[area // 10 - 1] / sum(odds))
            count += 1
    assert 0 < count < 20
    value = batch_loss(
        Outputs(logits=logits), batch, [len(batch)], 0, [Term("supervised", Supervised(areas), weight=2.0)]
    )
    assert int(value.n_anchors["supervised"]) == count
    assert float(value.mean["supervised"]) == pytest.approx(total / count)
    assert float(value.for_backward) == pytest.approx(2.0 * total / count)


def test_batch_without_annotation_has_no_loss():
    batch = random_batch(6)
    batch.area.zero_()
    logits = torch.zeros((6, N_AREAS), requires_grad=True)
    total, count = Supervised(torch.arange(1, N_AREAS + 1)).total(logits, batch)
    total.backward()
    assert int(count) == 0
    assert not logits.grad.any()
