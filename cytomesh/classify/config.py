"""Settings of `cytomesh classify` and `classify-predict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from cytomesh.classify.classifier import ModelConfig
from cytomesh.classify.inputs import InputsConfig
from cytomesh.classify.kinds import CLASSIFIERS, LAYERS, Model
from cytomesh.classify.known_inputs import PRIOR
from cytomesh.classify.layers import AttentionModel
from cytomesh.classify.linear import LdaModel
from cytomesh.classify.mean_field import CrfConfig
from cytomesh.classify.prior import PriorConfig
from cytomesh.classify.pseudo_labels import PseudoLabelsConfig
from cytomesh.classify.splits import SectionSplit, Split
from cytomesh.classify.training import TrainingConfig
from cytomesh.core.config import Config, Seed, ascending
from cytomesh.core.distributed import Device
from cytomesh.core.registry import OneOf
from cytomesh.core.renamed import SETTINGS


class AreasConfig(Config):
    """Which areas take part."""

    min_nodes: int = Field(default=1, ge=1)
    """Areas with fewer labelled nodes on the training side, or on any side they are tested on, count as unlabelled."""
    leave_out: list[str] = Field(default_factory=list)
    """Names of areas that are not learnt, to see whether doubt betrays them on the sides that are tested."""


class NullConfig(Config):
    """Spin null: labels rotated on the sphere, the same analysis again."""

    spins: int = Field(default=0, ge=0)
    """Random rotations; 0 for no null."""


class Candidate(Config):
    """One of the models among which validation nodes choose."""

    model: Model
    """As `ClassifyConfig.model`."""
    hops: list[int] | None = Field(default=None, min_length=1)
    """In the place of `inputs.hops`; None: these."""

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int] | None) -> list[int] | None:
        return hops and ascending(hops, 0, "hops")


CANDIDATES = (
    Candidate(model=LdaModel(kind="lda"), hops=[0, 1, 3, 6, 10, 20, 40]),
    Candidate(model=AttentionModel(kind="gat")),
)

OutlineStep = Annotated[float, Field(gt=0)]


class ClassifyConfig(Config):
    """Everything `cytomesh classify` can be told."""

    presets: ClassVar[str] = "classify"
    renamed: ClassVar[Mapping[str, str]] = {name: SETTINGS[name] for name in ("surroundings", "proportions")}
    inputs: InputsConfig = InputsConfig()
    """What the model sees of each node."""
    model: Annotated[ModelConfig | None, OneOf(CLASSIFIERS, LAYERS)] = None
    """`logistic`, `lda`, `knn`, `label_propagation`, `mlp`, `gcn`, `sage`, `gat`, `gatv2`, or what packages add; None:
    that of the `candidates` which names the validation nodes best."""
    candidates: list[Candidate] = Field(default=list(CANDIDATES), min_length=1)
    """Models that are compared where none is named; with validation nodes, or, where the split has none, on 15 % of the
    training nodes in blocks."""
    split: Split = SectionSplit()
    """`section`, `hemisphere`, `brain` or `column`."""
    training: TrainingConfig = TrainingConfig()
    """Networks only."""
    areas: AreasConfig = AreasConfig()
    """Which areas take part."""
    prior: PriorConfig = PriorConfig()
    """Areas of the training brains, carried to every node by `cytomesh register`."""
    crf: CrfConfig = CrfConfig()
    """Areas are made to lie around each other as on the training side, for any model."""
    label_shift: Literal["free", "training"] = "free"
    """`training`: in a hemisphere without training nodes, areas are taken to have the shares of nodes that they have
    among the training nodes (reads its inputs, never its labels); for whole hemispheres annotated throughout."""
    pseudo_labels: PseudoLabelsConfig = PseudoLabelsConfig()
    """Unlabelled nodes that become labelled ones."""
    calibration: Literal["none", "temperature"] = "none"
    """`temperature`: logits are divided by a number fitted on the validation nodes, one per training."""
    null: NullConfig = NullConfig()
    """Spin null; networks are trained once a spin."""
    outlines: bool = True
    """Whether to write outlines of the areas in all sections for QuPath; needs the study's section table, not its
    images, and about a tenth of a second per section."""
    outline_step_mm: OutlineStep = 0.25
    """Grid on which sections are sampled for the areas' outlines."""
    n_seeds: int = Field(default=3, ge=1)
    """Trainings from different random states; probabilities are averaged over them. Solvers without chance run once."""
    device: Device = "auto"
    """Where networks are trained."""
    seed: Seed = 0
    """Of all randomness."""

    @property
    def one_model(self) -> ModelConfig:
        """The model, where one is named or chosen."""
        assert self.model is not None, "no model is chosen"
        return self.model

    @property
    def prior_is_input(self) -> bool:
        """Whether the model sees the registered prior."""
        return PRIOR in self.inputs.names

    @property
    def has_prior(self) -> bool:
        """Whether the registered prior is part of the classifier, and not only beside its scores."""
        return self.prior.registration is not None and (self.prior.vote or self.prior_is_input)

    @model_validator(mode="after")
    def _prior_is_made(self) -> Self:
        if self.prior_is_input and self.prior.registration is None:
            raise ValueError("inputs.names: 'prior' needs prior.registration, the name of what 'register' made")
        return self

    @model_validator(mode="after")
    def _left_out_areas_stay_unnamed(self) -> Self:
        if self.areas.leave_out and self.pseudo_labels.rounds:  # which unlabelled nodes are of them, nobody knows
            raise ValueError("areas.leave_out: pseudo_labels would name these areas' nodes; leave its rounds at 0")
        return self


class PredictConfig(Config):
    """Everything `cytomesh classify-predict` can be told."""

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    """Nodes whose best area is less probable get no area ("don't know")."""
    max_distance_quantile: float | None = Field(default=None, gt=0, le=1)
    """Nodes whose inputs lie farther from the training mean than this quantile of the training nodes get no area."""
    registration: str | None = None
    """What `cytomesh register` made in this run, for classifiers with a registered prior; None: of the name that it had
    in training, which a template of the study asks for."""
    outline_step_mm: OutlineStep = 0.25
    """Grid on which sections are sampled for the areas' outlines."""
    outlines: bool = True
    """Whether to write outlines for QuPath; needs the study's section table, not its images."""
