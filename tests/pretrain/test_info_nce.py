"""Weighted InfoNCE against its formula, term by term."""

from __future__ import annotations

import pytest
import torch
from pretrain_cases import info_nce_by_loops, random_vectors

from cytomesh.pretrain.info_nce import weighted_info_nce


@pytest.fixture
def weights():
    w = torch.rand((11, 11), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    w[w < 0.5] = 0
    w[3] = 0
    return w


@pytest.mark.parametrize("chunk_elements", [1, 22, 40, 1 << 20])
def test_loss_and_gradient_equal_the_loops_for_any_chunk(weights, chunk_elements):
    z = random_vectors(11).requires_grad_()
    total, count = weighted_info_nce(z, z, lambda rows: weights[rows], temperature=0.1, chunk_elements=chunk_elements)
    (gradient,) = torch.autograd.grad(total / count, z)
    slow = z.detach().clone().requires_grad_()
    expected, n_anchors = info_nce_by_loops(slow, weights.tolist(), 0.1)
    assert int(count) == n_anchors == 10
    torch.testing.assert_close(total.detach() / count, expected.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, slow)[0], rtol=1e-10, atol=1e-10)


def test_gradcheck(weights):
    z, y = random_vectors(4, 3).requires_grad_(), random_vectors(11, 3, seed=1)
    y[2:6] = z.detach()

    def loss(a, b):
        return weighted_info_nce(a, b, lambda rows: weights[2:6][rows], temperature=0.5, first=2, chunk_elements=22)[0]

    assert torch.autograd.gradcheck(loss, (z, y.requires_grad_()))


def test_weight_of_an_anchor_to_itself_is_ignored(weights):
    z = random_vectors(11)
    other = weights.clone().fill_diagonal_(7.0)
    results = [weighted_info_nce(z, z, lambda rows, w=w: w[rows], temperature=0.1) for w in (weights, other)]
    assert torch.equal(results[0][0], results[1][0])
    assert int(results[0][1]) == int(results[1][1]) == 10


def test_weights_that_are_nan_show_in_the_loss(weights):
    weights[4, 7] = torch.nan
    total, count = weighted_info_nce(random_vectors(11), random_vectors(11), lambda rows: weights[rows], temperature=1)
    assert torch.isnan(total) and int(count) == 10


def test_a_second_derivative_is_refused(weights):
    z = random_vectors(11).requires_grad_()
    total, _ = weighted_info_nce(z, z, lambda rows: weights[rows], temperature=1.0)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(total, z, create_graph=True)


def test_half_precision_is_computed_in_single(weights):
    z = random_vectors(11, dtype=torch.float32).bfloat16().requires_grad_()
    single = z.detach().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = weighted_info_nce(z, z, lambda rows: weights[rows].float(), temperature=0.1)
    expected, _ = weighted_info_nce(single, single, lambda rows: weights[rows].float(), temperature=0.1)
    assert total.dtype == torch.float32
    assert torch.equal(total, expected)
    total.backward()
    expected.backward()
    assert z.grad.dtype == torch.bfloat16
    torch.testing.assert_close(z.grad.float(), single.grad, rtol=2e-2, atol=2e-2)


def test_one_patch_alone_has_no_loss_and_no_nan():
    z = random_vectors(1).requires_grad_()
    total, count = weighted_info_nce(z, z, lambda rows: torch.ones((1, 1)), temperature=0.1)
    total.backward()
    assert int(count) == 0
    assert float(total.detach()) == 0.0
    assert not z.grad.any()


def test_large_similarities_do_not_overflow(weights):
    z = random_vectors(11, dtype=torch.float32).requires_grad_()
    total, count = weighted_info_nce(z, z, lambda rows: weights[rows].float(), temperature=1e-3)
    total.backward()
    expected, _ = info_nce_by_loops(z.detach().double(), weights.tolist(), 1e-2)
    assert torch.isfinite(total)
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(expected)
    assert int(count) == 10
