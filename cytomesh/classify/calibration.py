"""A temperature fitted after training on validation nodes: confidence that can be believed, the same areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from cytomesh.classify.classifier import Classifier
from cytomesh.classify.metrics import expected_calibration_error
from cytomesh.classify.nodes import NodeData
from cytomesh.graph.neighbourhoods import Floats

RANGE = (np.log(0.05), np.log(20.0))
"""Of the temperature's logarithm."""


class Calibrated(Classifier):
    """Any classifier, with its logits divided by a temperature (Guo et al. 2017, section 4.2)."""

    def __init__(self, model: Classifier) -> None:
        self.model = model
        self.temperature = 1.0

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Train, then fit the temperature on the validation nodes; without any it stays 1."""
        curve = self.model.fit(data, seed)
        rows = data.evaluated("validation")
        self.temperature = fit_temperature(self.model.probabilities(data)[rows], data.targets[rows])
        return curve

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        return with_temperature(self.model.probabilities(data), self.temperature)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        return {**self.model.state(), "temperature": np.array([self.temperature], np.float32)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over the model and its temperature."""
        self.temperature = float(state["temperature"][0])
        self.model.load({name: array for name, array in state.items() if name != "temperature"})


def fit_temperature(probabilities: Floats, targets: NDArray[np.int64]) -> float:
    """Return the T > 0 for which softmax(log p / T) has the smallest cross-entropy; 1 for no nodes."""
    if not len(targets):
        return 1.0
    logits = _logits(probabilities)

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(targets)), targets]).mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=RANGE, method="bounded").x))


def with_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Return softmax(log p / T); 1 / T takes it back."""
    if temperature == 1.0:
        return probabilities
    return np.asarray(np.exp(log_softmax(_logits(probabilities) / temperature, axis=1)), np.float32)


def calibration_record(
    data: NodeData, probabilities: Sequence[Floats], temperatures: Sequence[float], sides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return temperatures, and the ECE of each evaluation side before and after (means over trainings)."""
    ece: dict[str, dict[str, float]] = {}
    for side in sides:
        rows = data.evaluated(side)
        targets = data.targets[rows]
        pairs = []
        for found, temperature in zip(probabilities, temperatures, strict=True):
            scaled = found[rows]
            pairs.append([_ece(with_temperature(scaled, 1 / temperature), targets), _ece(scaled, targets)])
        before, after = np.mean(pairs, axis=0).tolist()
        ece[side] = {"before": before, "after": after}
    return {"temperatures": list(temperatures), "ece": ece}


def _ece(probabilities: Floats, targets: NDArray[np.int64]) -> float:
    return expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)


def _logits(probabilities: Floats) -> NDArray[np.float64]:
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))
