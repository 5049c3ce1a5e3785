"""One interface for all models."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.context import Floats
from cytomesh.classify.nodes import NodeData


class Classifier(Protocol):
    """What every model can do."""

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Learn from the training nodes; returns the training curve, one record an epoch."""

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return the learnt arrays."""

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over learnt arrays."""
