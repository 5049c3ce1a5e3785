"""What networks minimise: cross-entropy, focal loss or logit adjustment, on labels or on distributions over areas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from cytomesh.classify.nodes import NodeData
from cytomesh.core.config import Config
from cytomesh.core.errors import FeatureError


class LossConfig(Config):
    """Settings of a loss; `kind` says of which."""

    kind: str
    """Name of the loss."""


class CrossEntropyConfig(LossConfig):
    """Cross-entropy, with the class weights of `TrainingConfig.balance`."""

    kind: Literal["cross_entropy"] = "cross_entropy"


class FocalConfig(LossConfig):
    """Cross-entropy that counts nodes less the surer they are right (Lin et al. 2017)."""

    kind: Literal["focal"]
    gamma: float = Field(default=2.0, ge=1)
    """Exponent of 1 - p."""


class LogitAdjustmentConfig(LossConfig):
    """Cross-entropy of logits moved by the classes' shares (Menon et al. 2021); with `balance: 0`."""

    kind: Literal["logit_adjustment"]
    tau: float = Field(default=1.0, gt=0)
    """Of the logarithm of the shares; 1 aims at the best mean recall."""


class Loss(ABC):
    """A sum over nodes; its settings are its `Config`, a `LossConfig` whose `kind` is its name."""

    Config: ClassVar[type[LossConfig]] = LossConfig

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @abstractmethod
    def __call__(
        self, logits: Tensor, targets: Tensor, *, weights: Tensor, smoothing: float, log_shares: Tensor
    ) -> Tensor:
        """Return the sum of the nodes' losses, a () tensor.

        Parameters
        ----------
        logits : (n, k) float
        targets : (n,) int64 classes or (n, k) float distributions over classes
        weights : (k,) float
            Of each class.
        smoothing : float
            Probability mass that the target spreads over all classes.
        log_shares : (k,) float
            Logarithm of each class's share of the training nodes.
        """


class CrossEntropy(Loss):
    """-sum_c w_c q_c log p_c, with q the target smoothed by e: (1 - e) target + e / k."""

    Config: ClassVar[type[LossConfig]] = CrossEntropyConfig

    def __call__(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        weights: Tensor,
        smoothing: float,
        log_shares: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Return the sum of the nodes' losses."""
        return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing, reduction="sum")


class Focal(Loss):
    """-sum_c w_c q_c (1 - p_c)^gamma log p_c (Lin et al. 2017, eq. 5), q as in `CrossEntropy`."""

    Config: ClassVar[type[LossConfig]] = FocalConfig

    def __call__(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        weights: Tensor,
        smoothing: float,
        log_shares: Tensor,  # noqa: ARG002
    ) -> Tensor:
        """Return the sum of the nodes' losses."""
        k = logits.shape[1]
        hard = functional.one_hot(targets, k).to(logits.dtype) if targets.ndim == 1 else targets
        smoothed = (1 - smoothing) * hard + smoothing / k
        return focal_loss(logits, weights * smoothed, self.settings.gamma)


class LogitAdjustment(CrossEntropy):
    """Cross-entropy of the logits plus tau log pi, pi the classes' shares (Menon et al. 2021, eq. 10).

    Predictions take the logits as they are.
    """

    Config: ClassVar[type[LossConfig]] = LogitAdjustmentConfig

    def __call__(
        self, logits: Tensor, targets: Tensor, *, weights: Tensor, smoothing: float, log_shares: Tensor
    ) -> Tensor:
        """Return the sum of the nodes' losses."""
        moved = logits + self.settings.tau * log_shares
        return super().__call__(moved, targets, weights=weights, smoothing=smoothing, log_shares=log_shares)


class NodeLoss:
    """Sum of the nodes' losses, and the sum of their weights to divide it by.

    Parameters
    ----------
    loss : Loss
    counts : (k,) float
        Training nodes of each class: weights are n^-balance, with a mean of 1 over the nodes.
    balance, smoothing : float
        See `TrainingConfig`.
    """

    def __init__(self, loss: Loss, counts: Tensor, balance: float, smoothing: float) -> None:
        self.loss, self.smoothing = loss, smoothing
        self.weights = counts.clamp(min=1) ** -balance
        self.weights = self.weights * (counts.sum() / (counts * self.weights).sum())
        self.log_shares = (counts.clamp(min=1) / counts.sum()).log()

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over nodes; `targets` are (n,) classes or (n, k) distributions."""
        return self.loss(logits, targets, weights=self.weights, smoothing=self.smoothing, log_shares=self.log_shares)

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
