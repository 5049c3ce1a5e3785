"""Loss and gradient do not depend on the number of ranks (real gloo processes), and are those of the formula."""

from __future__ import annotations

import gloo_loss
import numpy as np
import pytest
import torch
from pretrain_cases import all_terms, contrastive_terms, info_nce_by_loops, random_batch, random_vectors

from cytomesh.pretrain.distance import Euclidean
from cytomesh.pretrain.loss import Outputs, Term, batch_loss
from cytomesh.pretrain.objectives.simclr import SimCLR
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE

N_PATCHES = 23


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process on the whole batch, computed here."""
    folder = tmp_path_factory.mktemp("alone")
    gloo_loss.main(folder, N_PATCHES)
    return dict(np.load(folder / "rank-0.npz"))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_loss_and_gradient_do_not_depend_on_ranks(gloo, alone, tmp_path, size):
    gloo(gloo_loss.main, size, tmp_path, N_PATCHES)
    assert len(alone) == 12 * len(all_terms()) + 4 * len(contrastive_terms())
    for rank in range(size):
        results = np.load(tmp_path / f"rank-{rank}.npz")
        for key, expected in alone.items():
            tolerance = 1e-10 if "float64" in key else 1e-6
            np.testing.assert_allclose(results[key], expected, rtol=tolerance, atol=tolerance, err_msg=key)


def test_an_objective_called_in_any_loop_has_the_same_gradient(alone):
    called = {key.removesuffix("/called"): value for key, value in alone.items() if key.endswith("/called")}
    assert len(called) == 4 * len(contrastive_terms())
    for case, gradient in called.items():
        tolerance = 1e-10 if "float64" in case else 1e-5
        np.testing.assert_allclose(gradient, alone[f"{case}/gradient"], rtol=tolerance, atol=tolerance, err_msg=case)


def test_three_lines_in_a_loop_of_your_own():
    position = torch.tensor([[0.0, 0, 0], [0.5, 0, 0], [40, 0, 0], [40.5, 0, 0]])
    near = torch.tensor([[1.0, 0], [2.0, 0], [0, 3.0], [0, 1.0]], requires_grad=True)
    criterion = SpatialNCE(sigma_mm=1.0)
    loss = criterion(near, position=position)
    loss.backward()
    assert near.grad is not None and torch.isfinite(near.grad).all()
    mixed = near.detach()[[0, 2, 1, 3]]
    assert criterion(mixed, position=position).item() > loss.item() + 5
    # without partners there is nothing to learn
    assert criterion(near, position=1000 * position).item() == 0.0


@pytest.mark.parametrize("term", contrastive_terms(), ids=lambda term: term.name)
def test_loss_of_one_process_is_the_formula(term):
    batch, z = random_batch(12), random_vectors(12).requires_grad_()
    value = batch_loss(Outputs(z), batch, [len(batch)], 0, [term])
    (gradient,) = torch.autograd.grad(value.for_backward, z)
    slow = z.detach().clone().requires_grad_()
    expected, n_anchors = info_nce_by_loops(slow, term.objective.weights(batch, batch).tolist(), term.temperature)
    (expected_gradient,) = torch.autograd.grad(expected, slow)
    assert int(value.n_anchors[term.name]) == n_anchors
    torch.testing.assert_close(value.mean[term.name], expected.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-10)


def test_sum_of_objectives_is_weighted():
    batch, z = random_batch(9), random_vectors(9)
    near, views = SpatialNCE(3.0, distance=Euclidean(), reach_mm=9.0), SimCLR()
    both = batch_loss(
        Outputs(z), batch, [len(batch)], 0, [Term("near", near, 0.1, 2.0), Term("views", views, 0.3, 0.5)]
    )
    torch.testing.assert_close(both.for_backward, 2.0 * both.mean["near"] + 0.5 * both.mean["views"])


def test_batch_without_any_positive_pair_has_no_loss():
    batch, z = random_batch(6)[torch.arange(5)], random_vectors(5).requires_grad_()
    value = batch_loss(Outputs(z), batch, [len(batch)], 0, [Term("views", SimCLR(), 0.1)])
    value.for_backward.backward()
    assert int(value.n_anchors["views"]) == 0
    assert float(value.mean["views"]) == 0.0
    assert not z.grad.any()
