"""What networks minimise: cross-entropy, focal loss or logit adjustment, on labels or on distributions over areas."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cytomesh.classify.config import FocalLoss, LogitAdjustment, TrainingConfig
from cytomesh.classify.nodes import NodeData
from cytomesh.core.errors import FeatureError


class NodeLoss:
    """Sum of the nodes' losses, and the sum of their weights to divide it by.

    - cross-entropy: -sum_c w_c q_c log p_c, with q the target smoothed by e: (1 - e) target + e / k;
    - focal (Lin et al. 2017, eq. 5): -sum_c w_c q_c (1 - p_c)^gamma log p_c;
    - logit adjustment (Menon et al. 2021, eq. 10): cross-entropy of the logits plus tau log pi, with pi the classes'
      shares among the training nodes; predictions take the logits as they are.

    Parameters
    ----------
    settings : TrainingConfig
    counts : (k,) float
        Training nodes of each class: weights are n^-balance, with a mean of 1 over the nodes.
    """

    def __init__(self, settings: TrainingConfig, counts: Tensor) -> None:
        self.settings, self.smoothing = settings.loss, settings.label_smoothing
        self.weights = counts.clamp(min=1) ** -settings.balance
        self.weights = self.weights * (counts.sum() / (counts * self.weights).sum())
        self.log_shares = (counts.clamp(min=1) / counts.sum()).log()

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over nodes; `targets` are (n,) classes or (n, k) distributions."""
        if isinstance(self.settings, FocalLoss):
            k = logits.shape[1]
            hard = functional.one_hot(targets, k).to(logits.dtype) if targets.ndim == 1 else targets
            smoothed = (1 - self.smoothing) * hard + self.smoothing / k
            return focal_loss(logits, self.weights * smoothed, self.settings.gamma)
        if isinstance(self.settings, LogitAdjustment):
            logits = logits + self.settings.tau * self.log_shares
        return functional.cross_entropy(logits, targets, self.weights, label_smoothing=self.smoothing, reduction="sum")

    def total(self, targets: Tensor) -> Tensor:
        """Return the sum of the nodes' weights."""
        return self.weights[targets].sum() if targets.ndim == 1 else (targets @ self.weights).sum()


def focal_loss(logits: Tensor, weights: Tensor, gamma: float) -> Tensor:
    """Return -sum w (1 - p)^gamma log p over nodes and classes, for (n, k) logits and weights."""
    log_p = logits.log_softmax(dim=1)
    return -(weights * (-torch.expm1(log_p)) ** gamma * log_p).sum()


def training_targets(data: NodeData, rows: NDArray[np.int64], soft_labels: float, device: torch.device) -> Tensor:
    """Return what nodes are to be named: (r,) classes or, with soft labels, (r, k) distributions.

    Soft labels are (1 - share) label + share map, with the probability maps restricted to the classes; nodes where
    these are zero keep the label.
    """
    labels = torch.from_numpy(data.targets[rows]).to(device)
    if not soft_labels:
        return labels
    if data.maps is None:
        hint = "give the study an atlas and build the graphs again, or set training.soft_labels: 0"
        raise FeatureError("pmap", found="no probability maps for training.soft_labels", hint=hint)
    maps = torch.from_numpy(data.maps[rows].toarray().astype(np.float32)).to(device)
    sums = maps.sum(dim=1, keepdim=True)
    hard = functional.one_hot(labels, maps.shape[1]).to(maps.dtype)
    return (1 - soft_labels) * hard + soft_labels * torch.where(sums > 0, maps / sums.clamp(min=1e-12), hard)
