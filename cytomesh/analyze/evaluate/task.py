"""What a task of the protocol is: it takes the features of one encoder, and gives scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cytomesh.classify.evaluation import section_numbers
from cytomesh.classify.splits import make_split
from cytomesh.core.config import Config
from cytomesh.core.digests import FileDigests
from cytomesh.core.provenance import Inputs
from cytomesh.graph.neighbourhoods import Mask
from cytomesh.graph.storage import CortexGraph

if TYPE_CHECKING:
    from cytomesh.analyze.evaluate.config import EvaluateConfig
    from cytomesh.classify.classifier import ModelConfig

COORDINATES = "coordinates"
"""The baseline that knows where a node is, and nothing of the tissue."""
Labels = NDArray[np.int32]


class TaskConfig(Config):
    """Settings of a task."""


@dataclass(frozen=True, slots=True)
class Score:
    """One number.

    Parameters
    ----------
    target : str
        What is predicted: "areas", a parcellation, a column of the nodes.
    split : str
        On which nodes: the side of the split, or what was left out in turn.
    measure : str
        "macro_f1", "r2", "accuracy", ...
    value : float
    level : float, optional
        Of curves: annotated sections, principal components, or areas to cross (inf: no way there).
    repeat : int
        Number of the training, draw or fold.
    """

    target: str
    split: str
    measure: str
    value: float
    level: float | None = None
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Named:
    """What an encoder's head called the nodes of one side: other encoders are compared on the same nodes.

    Parameters
    ----------
    section, truth, predicted : (n,) int64
    """

    section: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task says of one encoder.

    Parameters
    ----------
    scores : sequence of Score
    named : dict of (str, str) to Named
        By target and split.
    notes : tuple of str
        What a reader of the scores should know.
    """

    scores: Sequence[Score] = ()
    named: Mapping[tuple[str, str], Named] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoded:
    """The nodes as one encoder sees them.

    Parameters
    ----------
    name : str
    features : (n, d) float
        Of all graphs, one after the other; NaN rows at nodes without image link.
    head : ModelConfig
        The classifier that names nodes by them.
    """

    name: str
    features: NDArray[Any]
    head: ModelConfig


@dataclass(frozen=True)
class Bench:
    """What all tasks share: the graphs' nodes, one after the other, and the settings.

    Parameters
    ----------
    run : Path
    graphs : sequence of CortexGraph
    settings : EvaluateConfig
    """

    run: Path
    graphs: Sequence[CortexGraph]
    settings: EvaluateConfig

    @cached_property
    def is_linked(self) -> Mask:
        """Nodes that have features, (n,) bool."""
        return np.concatenate([graph.is_linked for graph in self.graphs])

    @cached_property
    def annotation(self) -> Labels:
        """Area of each linked node, (n,) int32, 0 where there is none."""
        return np.where(self.is_linked, np.concatenate([graph.annotation for graph in self.graphs]), 0).astype(np.int32)

    @cached_property
    def sections(self) -> NDArray[np.int64]:
        """One number per section of a brain, (n,) int64, -1 without."""
        return section_numbers(self.graphs)

    @cached_property
    def brains(self) -> NDArray[np.str_]:
        """Brain of each node, (n,) str."""
        return np.repeat([graph.brain for graph in self.graphs], [graph.n_nodes for graph in self.graphs])

    def of_graphs(self, per_node: NDArray[Any]) -> list[NDArray[Any]]:
        """Cut an array with one row per node into one array per graph."""
        return np.split(per_node, np.cumsum([graph.n_nodes for graph in self.graphs])[:-1])

    def sides(self, labels: Labels, split: Any = None) -> NDArray[np.str_]:
        """Return the side of each labelled node, (n,) str, of the protocol's split or another one; see `NodeSplit`."""
        settings = self.settings.split if split is None else split
        return np.concatenate(make_split(self.graphs, self.of_graphs(labels), settings, self.settings.seed).sides)


class Task(ABC):
    """One line of the protocol.

    A task that settings can name has its settings as `Config`; `cytomesh.evaluation_tasks` is the group of entry
    points by which other packages add theirs. Instances are made for one evaluation, and keep nothing.

    Examples
    --------
    >>> class Width(Task):
    ...     measures = {"columns": "columns"}
    ...     def score(self, bench, encoded):
    ...         return Outcome([Score("features", "all nodes", "columns", encoded.features.shape[1])])
    """

    Config: ClassVar[type[TaskConfig]] = TaskConfig
    parts: ClassVar[tuple[str, ...]] = ()
    """Parts of the graphs that it reads beside features: see `cytomesh.graph.provenance`."""
    protocol: ClassVar[tuple[str, ...]] = ("head", "split", "n_seeds", "seed")
    """Settings of the protocol that it reads beside its own."""
    measures: ClassVar[Mapping[str, str]] = {}
    """Measures that stand in the table, and what they are called there."""
    level: ClassVar[str] = ""
    """What the levels of the measures in the table are, if they have some."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def reads(self, bench: Bench, digests: FileDigests) -> Inputs:  # noqa: ARG002
        """Return what it reads beside features and parts of the graphs."""
        return Inputs()

    def why_absent(self, bench: Bench) -> str:  # noqa: ARG002
        """Say why it has no meaning on these graphs; nothing if it has."""
        return ""

    @abstractmethod
    def score(self, bench: Bench, encoded: Encoded) -> Outcome:
        """Score one encoder."""
