"""Settings of `cytomesh evaluate`: the protocol."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from cytomesh.analyze.evaluate.kinds import TASKS, Tasks, tasks_of
from cytomesh.classify.classifier import ModelConfig
from cytomesh.classify.kinds import CLASSIFIERS
from cytomesh.classify.linear import LogisticModel
from cytomesh.classify.splits import SectionSplit, Split
from cytomesh.core.config import Config, Seed
from cytomesh.core.registry import OneOf, Sections

MESH_KINDS = ("label_propagation",)
"""Classifiers that live on mesh edges, and say little of features."""


class EvaluateConfig(Config):
    """Everything `cytomesh evaluate` can be told: one protocol, for any number of encoders."""

    presets: ClassVar[str] = "evaluate"
    encoders: list[str] = Field(default=[])
    """Names of features of the run that are set side by side: encoders, an untrained one, intensity profiles or
    whatever else was imported; by default all there are."""
    baselines: list[Literal["coordinates"]] = Field(default=["coordinates"])
    """What stands beside them without an image. `coordinates`: the 15 annotated nodes nearest in reference space, for
    names; polynomials of the reference position, for numbers."""
    tasks: Tasks = Field(default_factory=lambda: tasks_of(**{name: {} for name in sorted(TASKS.own - {"labels"})}))
    """What is asked of each encoder; a task that means nothing on these graphs is passed over, and said."""
    head: Annotated[ModelConfig, OneOf(CLASSIFIERS)] = LogisticModel(kind="logistic", strength=0.1)
    """The classifier that names nodes by frozen features: `logistic` (linear probe), `lda`, `knn` or `mlp` (for all
    its epochs); by default that of `configs/classify/linear.yaml`."""
    split: Split = SectionSplit()
    """Who trains and who tests, as of `cytomesh classify`: `section`, `hemisphere`, `brain` or `column`."""
    n_seeds: int = Field(default=3, ge=1, le=1000)
    """Draws of sections and of left-out areas, and trainings of a head with chance in it (a linear probe has none)."""
    seed: Seed = 0
    """Of draws, folds and heads."""

    @field_validator("tasks")
    @classmethod
    def _some(cls, tasks: Sections) -> Sections:
        if not tasks.named():
            raise ValueError(f"none given, choose of {', '.join(TASKS)}")
        return tasks

    @field_validator("head")
    @classmethod
    def _of_single_nodes(cls, head: ModelConfig) -> ModelConfig:
        if head.kind in MESH_KINDS:
            raise ValueError(f"'{head.kind}' looks at neighbours, not at features: choose logistic, lda, knn or mlp")
        return head
