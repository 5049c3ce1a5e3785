"""Optimisers, and the running mean of the weights."""

from __future__ import annotations

from typing import Any

import torch
from timm.optim import Lars
from torch import nn

from cytomesh.pretrain.config import ScheduleConfig

LARS_MOMENTUM = 0.9  # You et al., 2017


def build_optimizer(model: nn.Module, config: ScheduleConfig) -> torch.optim.Optimizer:
    """AdamW or LARS; vectors and scalars (biases, norms) are neither decayed nor, by LARS, scaled by layer."""
    groups = parameter_groups(model, config.weight_decay)
    if config.optimizer == "lars":
        groups[0]["always_adapt"] = True
        optimizer: torch.optim.Optimizer = Lars(groups, lr=config.learning_rate, momentum=LARS_MOMENTUM)
        return optimizer
    is_on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=is_on_gpu)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Part the trained parameters into matrices and kernels, which are decayed, and vectors and scalars, not so."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


class WeightAverage:
    """Exponential moving average of a model's weights; buffers, such as running statistics, are averaged too.

    w <- d w + (1 - d) w_step with d = min(decay, (1 + step) / (10 + step)): the first steps, far from the end, are soon
    forgotten (as in TensorFlow's ExponentialMovingAverage).

    Parameters
    ----------
    model : nn.Module
        The average begins with its weights.
    decay : float
        0 to 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, 0 for the first."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1.0 - decay)
            else:
                self.state[name].copy_(value)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name, value in state.items():
            self.state[name].copy_(value)
