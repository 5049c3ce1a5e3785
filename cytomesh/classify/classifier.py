"""One interface for all models, and estimators of scikit-learn behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.nodes import NodeData
from cytomesh.core.config import Config
from cytomesh.graph.neighbourhoods import Floats

if TYPE_CHECKING:
    import torch

    from cytomesh.classify.training import TrainingConfig


from cytomesh.classify.out_of_core import map_rows


class ModelConfig(Config):
    """Settings of a model; `kind` says of which."""

    kind: str
    """Name of the model."""

    @property
    def edge_attributes(self) -> tuple[str, ...]:
        """What the model sees of mesh edges: see `cytomesh.classify.edges`."""
        return ()


@dataclass(frozen=True)
class Task:
    """What a model is made for.

    Parameters
    ----------
    n_inputs, n_classes : int
    training : TrainingConfig
        How networks are trained.
    device : torch.device
        Where.
    """

    n_inputs: int
    n_classes: int
    training: TrainingConfig
    device: torch.device


class Classifier(ABC):
    """What every model can do.

    A model that settings can name has its settings as `Config`, a `ModelConfig` whose `kind` is its name.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    has_chance: ClassVar[bool] = False
    """Whether fits from different seeds differ."""
    reads_in_parts: ClassVar[bool] = False
    """Whether inputs may be larger than memory (`StoredInputs`)."""

    @classmethod
    def from_settings(cls, settings: Any, task: Task) -> Self:  # noqa: ARG003
        """Make a model, not yet fitted, from settings of its `Config`."""
        return cls(settings)  # type: ignore[call-arg]

    @abstractmethod
    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Learn from the training nodes; returns the training curve, one record an epoch."""

    @abstractmethod
    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return the learnt arrays."""

    @abstractmethod
    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over learnt arrays."""


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
