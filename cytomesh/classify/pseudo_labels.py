"""Semi-supervised rounds: what a classifier is sure of becomes a label, and it is trained again (Lee 2013)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cytomesh.classify.classifier import Classifier
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.splits import TRAIN
from cytomesh.core.config import Config
from cytomesh.graph.neighbourhoods import Floats


class PseudoLabelsConfig(Config):
    """Semi-supervised training."""

    rounds: int = Field(default=0, ge=0)
    """How often to train again with confident unlabelled nodes, of transfer brains too; 0: not at all."""
    threshold: float = Field(default=0.95, gt=0, le=1)
    """Least probability of the best area."""


class SelfTrained(Classifier):
    """Any classifier, trained again with the unlabelled nodes that it was sure of.

    These are linked nodes without a part in the split and those of the transfer brains, whose labels are not read;
    never nodes of an unseen brain or of another evaluation side.
    """

    def __init__(self, model: Classifier, settings: PseudoLabelsConfig) -> None:
        self.model, self.settings = model, settings

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Train once more than there are rounds; the curve's epochs count on."""
        curve = self.model.fit(data, seed)
        for _ in range(self.settings.rounds):
            labelled = with_pseudo_labels(data, self.model.probabilities(data), self.settings.threshold)
            last = len(curve)
            curve += [{**record, "epoch": last + record["epoch"]} for record in self.model.fit(labelled, seed)]
        return curve

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        return self.model.probabilities(data)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        return self.model.state()

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over a trained model."""
        self.model.load(state)


def with_pseudo_labels(data: NodeData, probabilities: Floats, threshold: float) -> NodeData:
    """Put the unlabelled nodes on the training side whose best class has at least this probability."""
    if data.is_open is None:
        return data
    sure = data.is_open & (probabilities.max(axis=1) >= threshold)
    targets = np.where(sure, probabilities.argmax(axis=1), data.targets)
    return replace(data, targets=targets, sides=np.where(sure, TRAIN, data.sides))
