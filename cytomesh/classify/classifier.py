"""One interface for all models, and estimators of scikit-learn behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.nodes import NodeData
from cytomesh.core.config import Config
from cytomesh.core.errors import CytomeshError, PluginError
from cytomesh.graph.neighbourhoods import Floats

if TYPE_CHECKING:
    import torch

    from cytomesh.classify.training import TrainingConfig


from cytomesh.classify.out_of_core import map_rows

ROUNDING = 1e-4
"""Sums of single-precision probabilities may be larger than 1 by this."""


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
        """Learn from the training nodes; returns the training curve, one record per epoch."""

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
    """Attributes of the fitted estimator that predictions need, arrays of numbers: no trees, no objects."""

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
        known = np.asarray(self.estimator.classes_, np.int64)  # an estimator may have seen no node of some class

        def of_rows(inputs: Floats) -> Floats:
            found = np.zeros((len(inputs), data.classes.size), np.float32)
            found[:, known] = self.estimator.predict_proba(inputs)
            return found

        return map_rows(of_rows, data.inputs)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        found = {name: np.asarray(getattr(self.estimator, name), np.float32) for name in self.learnt}
        return {**found, "classes_": np.asarray(self.estimator.classes_, np.float32)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over what an estimator has learnt."""
        for name in self.learnt:
            setattr(self.estimator, name, state[name].astype(np.float64))
        self.estimator.classes_ = state["classes_"].astype(np.int64)


class Guarded(Classifier):
    """Another package's classifier, held to what every model has to do.

    Parameters
    ----------
    model : Classifier
    name : str
        Its name in settings, for messages.
    """

    def __init__(self, model: Classifier, name: str) -> None:
        self.model, self.name = model, name

    @classmethod
    def made(cls, kind: type[Classifier], name: str, settings: Any, task: Task) -> Self:
        """Make a model from settings, as `Classifier.from_settings`; whatever goes wrong names it."""
        try:
            return cls(kind.from_settings(settings, task), name)
        except CytomeshError:
            raise
        except Exception as cause:  # whatever goes wrong in somebody else's class
            raise _plugin_error(kind, name, "from_settings", f"{type(cause).__name__}: {cause}", "") from cause

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Fit it; whatever goes wrong names it."""
        with self._named("fit"):
            return self.model.fit(data, seed)

    def probabilities(self, data: NodeData) -> Floats:
        """Return its probabilities, if they are some."""
        with self._named("probabilities"):
            found = np.asarray(self.model.probabilities(data))
            wanted = (data.inputs.shape[0], data.classes.size)
            if found.shape != wanted or found.dtype.kind != "f":
                raise self._error("probabilities", f"{found.dtype} of {found.shape}", f"float32 of {wanted}")
            if not (np.isfinite(found).all() and found.min(initial=0) >= 0 and found.max(initial=0) <= 1 + ROUNDING):
                raise self._error("probabilities", "values that are no probabilities", "numbers from 0 to 1")
        return found.astype(np.float32)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what it has learnt, finite."""
        with self._named("state"):
            state = {name: np.asarray(values, np.float32) for name, values in self.model.state().items()}
            bad = [name for name, values in state.items() if not np.isfinite(values).all()]
            if bad:
                raise self._error("state", f"values of {', '.join(bad)} that are not finite", "finite numbers")
        return state

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Let it take over learnt arrays."""
        with self._named("load"):
            self.model.load(state)

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        try:
            yield
        except CytomeshError:
            raise
        except Exception as cause:  # whatever goes wrong in somebody else's class
            raise self._error(what, f"{type(cause).__name__}: {cause}", "") from cause

    def _error(self, what: str, found: str, expected: str) -> PluginError:
        return _plugin_error(type(self.model), self.name, what, found, expected)


def _plugin_error(kind: type[Classifier], name: str, what: str, found: str, expected: str) -> PluginError:
    place = f"{kind.__module__}.{kind.__name__}"
    hint = "mend the package that adds this classifier, or choose another model"
    return PluginError(f"classifier '{name}' ({place})", what, found=found, expected=expected, hint=hint)
