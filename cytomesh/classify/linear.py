"""Linear classifiers: balanced multinomial logistic regression and shrinkage LDA."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from cytomesh.classify.config import LdaModel, LogisticModel
from cytomesh.classify.context import Floats
from cytomesh.classify.discriminant import class_moments
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.stored import StoredInputs, map_rows


class LinearClassifier:
    """Scores are inputs @ weights + bias, whatever the way they were fitted.

    Logistic regression minimises the cross-entropy with weights n / (k n_c) on class c. LDA takes the mean of the
    shrunk class covariances, each class the same weight (Friedman 1989, with the prior 1 / k for every class).
    """

    def __init__(self, settings: LogisticModel | LdaModel) -> None:
        self.settings = settings
        self.weights = np.zeros((0, 0))
        self.bias = np.zeros(0)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:  # noqa: ARG002
        """Fit on the training nodes; there is no curve and no chance in it."""
        targets = data.targets[data.is_train]
        k = data.classes.size
        if isinstance(self.settings, LdaModel) and isinstance(data.inputs, StoredInputs):
            stored = data.inputs.take(data.is_train)
            self.weights, self.bias = lda_in_chunks(stored, targets, k, self.settings.shrinkage)
            return []
        inputs = data.inputs[data.is_train].astype(np.float64)
        if isinstance(self.settings, LdaModel):
            solver = LinearDiscriminantAnalysis(
                solver="lsqr", shrinkage=self.settings.shrinkage, priors=np.full(k, 1 / k)
            )
            with warnings.catch_warnings():
                # An area with one node has no covariance of its own; it is named in the notes of metrics.json.
                warnings.filterwarnings("ignore", "Only one sample available", UserWarning)
                solver.fit(inputs, targets)
        else:
            solver = LogisticRegression(
                C=self.settings.strength, class_weight="balanced", max_iter=self.settings.iterations, tol=1e-3
            )
            with warnings.catch_warnings():
                # The iteration limit is a setting; the score moves by less than its SD beyond it.
                warnings.simplefilter("ignore", ConvergenceWarning)
                solver.fit(inputs, targets)
        weights, bias = solver.coef_.T, solver.intercept_
        if k == 2:  # scikit-learn keeps one column for two classes
            weights, bias = np.hstack([0 * weights, weights]), np.concatenate([0 * bias, bias])
        self.weights, self.bias = weights, bias
        return []

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        return map_rows(lambda x: np.asarray(softmax(x @ self.weights + self.bias, axis=1), np.float32), data.inputs)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        return {"weights": self.weights.astype(np.float32), "bias": self.bias.astype(np.float32)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over fitted weights."""
        self.weights, self.bias = state["weights"].astype(np.float64), state["bias"].astype(np.float64)


def lda_in_chunks(
    inputs: StoredInputs, targets: NDArray[np.int64], n_classes: int, shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return LDA's weights (d, k) and bias (k,) for inputs that do not fit into memory, from their moments."""
    means, within = class_moments(inputs, targets, n_classes, shrinkage)
    weights: NDArray[np.float64] = np.linalg.lstsq(within, means.T, rcond=None)[0].astype(np.float64)
    bias: NDArray[np.float64] = -0.5 * (means.T * weights).sum(axis=0)
    return weights, bias
