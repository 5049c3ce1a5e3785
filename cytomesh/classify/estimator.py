"""Estimators of scikit-learn as classifiers of nodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.classifier import Classifier
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import map_rows
from cytomesh.graph.neighbourhoods import Floats


class EstimatorClassifier(Classifier):
    """An estimator with `fit` and `predict_proba`: each node by itself.

    A subclass says how the estimator is made, and which of its attributes hold what it has learnt: they are stored as
    float32 arrays, never by pickle.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> class NaiveBayes(EstimatorClassifier):
    ...     learnt = ("theta_", "var_", "class_prior_")
    ...     def make(self, seed):
    ...         return GaussianNB()
    """

    learnt: ClassVar[tuple[str, ...]]
    """Attributes of the fitted estimator that predictions need, arrays of numbers."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.estimator = self.make(0)

    @abstractmethod
    def make(self, seed: int) -> Any:
        """Return the estimator, not yet fitted."""

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Fit on the training nodes; there is no curve."""
        self.estimator = self.make(seed)
        self.estimator.fit(data.inputs[data.is_train], data.targets[data.is_train])
        return []

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        return map_rows(lambda x: np.asarray(self.estimator.predict_proba(x), np.float32), data.inputs)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        found = {name: np.asarray(getattr(self.estimator, name), np.float32) for name in self.learnt}
        return {**found, "classes_": np.asarray(self.estimator.classes_, np.float32)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over what an estimator has learnt."""
        for name in self.learnt:
            setattr(self.estimator, name, state[name].astype(np.float64))
        self.estimator.classes_ = state["classes_"].astype(np.int64)
