"""One step by hand."""

from __future__ import annotations

import pytest
import torch

from cytomesh.core.learning import warm_up_cosine
from cytomesh.pretrain.config import ScheduleConfig
from cytomesh.pretrain.optimizer import WeightAverage, build_optimizer


def layer() -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(4, 3)


def test_lars_scales_each_layer_by_its_norms():
    model = layer()
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    config = ScheduleConfig(optimizer="lars", learning_rate=0.5, weight_decay=0.1, steps=1, warmup_steps=0)
    optimizer = build_optimizer(model, config)
    model.weight.grad, model.bias.grad = torch.full((3, 4), 2.0), torch.full((3,), 2.0)
    optimizer.step()
    # You et al., 2017, algorithm 1: trust ratio eta |w| / (|g| + decay |w|), eta 0.001
    ratio = 0.001 * weight.norm() / (torch.full((3, 4), 2.0).norm() + 0.1 * weight.norm())
    torch.testing.assert_close(model.weight.detach(), weight - 0.5 * ratio * (2.0 + 0.1 * weight))
    torch.testing.assert_close(model.bias.detach(), bias - 0.5 * 2.0)


def test_adamw_decays_matrices_only():
    model = layer()
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer = build_optimizer(model, ScheduleConfig(learning_rate=0.01, weight_decay=0.5))
    model.weight.grad, model.bias.grad = torch.zeros(3, 4), torch.zeros(3)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), weight * (1 - 0.01 * 0.5))
    assert torch.equal(model.bias.detach(), bias)


def test_warm_up_and_cosine():
    config = ScheduleConfig(steps=110, warmup_steps=10, learning_rate=2.0)
    assert warm_up_cosine(0, config.steps, config.warmup_steps, config.learning_rate) == pytest.approx(0.2)
    assert warm_up_cosine(9, config.steps, config.warmup_steps, config.learning_rate) == pytest.approx(2.0)
    assert warm_up_cosine(60, config.steps, config.warmup_steps, config.learning_rate) == pytest.approx(1.0)
    assert warm_up_cosine(110, config.steps, config.warmup_steps, config.learning_rate) == pytest.approx(0.0)


def test_average_follows_weights_and_buffers_and_goes_on():
    model = torch.nn.Sequential(layer(), torch.nn.BatchNorm1d(3))
    average = WeightAverage(model, 0.9)
    expected = model[0].weight.detach().clone()
    for step in range(4):
        with torch.no_grad():
            model[0].weight.add_(1.0)
            model[1].running_mean.fill_(float(step))
            model[1].num_batches_tracked.fill_(step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
    torch.testing.assert_close(average.state["0.weight"], expected)
    assert int(average.state["1.num_batches_tracked"]) == 3
    other = WeightAverage(model, 0.9)
    other.load(average.state)
    assert all(torch.equal(other.state[name], value) for name, value in average.state.items())
