"""Linear classifiers: balanced multinomial logistic regression and shrinkage LDA."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from cytomesh.classify.classifier import Classifier, ModelConfig
from cytomesh.classify.discriminant import class_moments
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import Inputs, map_rows, take
from cytomesh.graph.neighbourhoods import Floats

Plane = tuple[NDArray[np.float64], NDArray[np.float64]]


class LogisticModel(ModelConfig):
    """Linear probe: multinomial logistic regression, classes balanced, L2."""

    kind: Literal["logistic"]
    strength: float = Field(default=1.0, gt=0)
    """Inverse of the L2 penalty (scikit-learn's C)."""
    iterations: int = Field(default=200, ge=1)
    """At most this many L-BFGS iterations."""


class LdaModel(ModelConfig):
    """Linear discriminant analysis with a shrunk covariance and balanced priors."""

    kind: Literal["lda"]
    shrinkage: float = Field(default=0.05, ge=0, le=1)
    """0: the empirical covariance within classes; 1: a multiple of the identity."""


class LinearClassifier(Classifier):
    """Scores are inputs @ weights + bias, whatever the way they were fitted."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.weights = np.zeros((0, 0))
        self.bias = np.zeros(0)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:  # noqa: ARG002
        """Fit on the training nodes; there is no curve and no chance in it."""
        inputs = take(data.inputs, data.is_train)
        self.weights, self.bias = self.solve(inputs, data.targets[data.is_train], data.classes.size)
        return []

    @abstractmethod
    def solve(self, inputs: Inputs, targets: NDArray[np.int64], n_classes: int) -> Plane:
        """Return weights, (d, k), and bias, (k,), for (n, d) inputs of known classes, each of which occurs."""

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        return map_rows(lambda x: np.asarray(softmax(x @ self.weights + self.bias, axis=1), np.float32), data.inputs)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        return {"weights": self.weights.astype(np.float32), "bias": self.bias.astype(np.float32)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over fitted weights."""
        self.weights, self.bias = state["weights"].astype(np.float64), state["bias"].astype(np.float64)


class LogisticClassifier(LinearClassifier):
    """Multinomial logistic regression: cross-entropy with weights n / (k n_c) on class c, L2."""

    Config: ClassVar[type[ModelConfig]] = LogisticModel

    def solve(self, inputs: Inputs, targets: NDArray[np.int64], n_classes: int) -> Plane:
        """Minimise with L-BFGS."""
        solver = LogisticRegression(
            C=self.settings.strength, class_weight="balanced", max_iter=self.settings.iterations, tol=1e-3
        )
        with warnings.catch_warnings():
            # The iteration limit is a setting; the score moves by less than its SD beyond it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            solver.fit(inputs[:].astype(np.float64), targets)
        weights, bias = solver.coef_.T, solver.intercept_
        if n_classes == 2:  # scikit-learn keeps one column for two classes
            weights, bias = np.hstack([0 * weights, weights]), np.concatenate([0 * bias, bias])
        return weights, bias


class LdaClassifier(LinearClassifier):
    """LDA with the mean of the shrunk class covariances, each class the same weight and prior (Friedman 1989)."""

    Config: ClassVar[type[ModelConfig]] = LdaModel
    reads_in_parts = True

    def solve(self, inputs: Inputs, targets: NDArray[np.int64], n_classes: int) -> Plane:
        """Solve by least squares, from the moments of the classes: inputs may be larger than memory."""
        means, within = class_moments(inputs, targets, n_classes, self.settings.shrinkage)
        weights: NDArray[np.float64] = np.linalg.lstsq(within, means.T, rcond=None)[0].astype(np.float64)
        bias: NDArray[np.float64] = -0.5 * (means.T * weights).sum(axis=0)
        return weights, bias
