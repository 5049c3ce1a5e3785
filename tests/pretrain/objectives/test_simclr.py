"""SimCLR: only views of one patch attract each other, and the loss is NT-Xent."""

from __future__ import annotations

import torch
from pretrain_cases import random_batch, random_vectors

from cytomesh.pretrain.batch import concatenate
from cytomesh.pretrain.loss import Outputs, Term, batch_loss
from cytomesh.pretrain.objectives.simclr import SimCLR


def test_only_views_of_one_patch_attract():
    batch = random_batch(6)
    expected = torch.eye(6, dtype=torch.float64)
    expected[-1, -2] = expected[-2, -1] = 1
    assert torch.equal(SimCLR().weights(batch, batch), expected)


def test_two_views_give_nt_xent():
    one_view = random_batch(8)[:7]
    z = random_vectors(14)
    value = batch_loss(Outputs(z), concatenate([one_view, one_view]), [len(z)], 0, [Term("simclr", SimCLR(), 0.5)])
    logits = (z @ z.T / 0.5).fill_diagonal_(-torch.inf)
    target = torch.arange(14).roll(7)
    torch.testing.assert_close(value.mean["simclr"], torch.nn.functional.cross_entropy(logits, target))
