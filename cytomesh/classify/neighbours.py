"""Classifiers that compare and spread instead of learning weights: k nearest neighbours, label propagation."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field
from sklearn.neighbors import NearestNeighbors

from cytomesh.classify.classifier import Classifier, ModelConfig, Task
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.out_of_core import map_rows
from cytomesh.graph.neighbourhoods import Floats


class KnnModel(ModelConfig):
    """Shares of the classes among the training nodes with the nearest inputs."""

    kind: Literal["knn"]
    neighbours: int = Field(default=15, ge=1)
    """How many training nodes vote."""


class PropagationModel(ModelConfig):
    """Label propagation over the mesh, from training nodes and, elsewhere, from nearest neighbours in the inputs."""

    kind: Literal["label_propagation"]
    alpha: float = Field(default=0.9, gt=0, lt=1)
    """Share of the neighbours against the start in every step."""
    steps: int = Field(default=50, ge=1)
    """Steps, i.e. how many hops a label may travel."""
    neighbours: int = Field(default=15, ge=1)
    """Training nodes that vote where a step starts without a label."""


class KnnClassifier(Classifier):
    """Share of each class among the training nodes with the nearest inputs (Euclidean)."""

    Config: ClassVar[type[ModelConfig]] = KnnModel

    def __init__(self, settings: KnnModel, n_classes: int) -> None:
        self.n_classes = n_classes
        self.neighbours = settings.neighbours
        self.inputs = np.zeros((0, 0), np.float32)
        self.targets = np.zeros(0, np.int64)

    @classmethod
    def from_settings(cls, settings: KnnModel, task: Task) -> Self:
        """Make a model, not yet fitted."""
        return cls(settings, task.n_classes)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:  # noqa: ARG002
        """Keep the training nodes."""
        self.inputs, self.targets = data.inputs[data.is_train], data.targets[data.is_train]
        return []

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class shares of all nodes."""
        search = NearestNeighbors(n_neighbors=min(self.neighbours, len(self.inputs))).fit(self.inputs)
        nearest = self.targets[map_rows(lambda x: search.kneighbors(x, return_distance=False), data.inputs)]
        shares = np.zeros((len(nearest), self.n_classes), np.float32)
        for column in nearest.T:
            shares[np.arange(len(nearest)), column] += 1 / nearest.shape[1]
        return shares

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        return {"inputs": self.inputs, "targets": self.targets.astype(np.float32)}

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over training nodes."""
        self.inputs, self.targets = state["inputs"], state["targets"].astype(np.int64)


class PropagationClassifier(Classifier):
    """Label propagation over the mesh (Zhou et al. 2004): F <- alpha S F + (1 - alpha) Y, S = D^-1/2 A D^-1/2.

    Y holds the label of each training node and, so that labels reach graphs without any, the class shares among the
    nearest training nodes at all others. The inputs count for nothing else.
    """

    Config: ClassVar[type[ModelConfig]] = PropagationModel

    def __init__(self, settings: PropagationModel, n_classes: int) -> None:
        self.settings = settings
        self.nearest = KnnClassifier(KnnModel(kind="knn", neighbours=settings.neighbours), n_classes)

    @classmethod
    def from_settings(cls, settings: PropagationModel, task: Task) -> Self:
        """Make a model, not yet fitted."""
        return cls(settings, task.n_classes)

    def fit(self, data: NodeData, seed: int) -> list[dict[str, float]]:
        """Keep the training nodes."""
        return self.nearest.fit(data, seed)

    def probabilities(self, data: NodeData) -> Floats:
        """Return (n, k) class probabilities of all nodes."""
        start = self.nearest.probabilities(data).astype(np.float64)
        start[data.is_train] = np.eye(start.shape[1])[data.targets[data.is_train]]
        root = sp.diags(1 / np.sqrt(np.maximum(np.asarray(data.adjacency.sum(axis=1)).ravel(), 1)))
        spread = root @ data.adjacency @ root
        current = start
        for _ in range(self.settings.steps):
            current = self.settings.alpha * (spread @ current) + (1 - self.settings.alpha) * start
        return np.asarray(current / current.sum(axis=1, keepdims=True), np.float32)

    def state(self) -> dict[str, NDArray[np.float32]]:
        """Return what `load` needs."""
        return self.nearest.state()

    def load(self, state: dict[str, NDArray[np.float32]]) -> None:
        """Take over training nodes."""
        self.nearest.load(state)
