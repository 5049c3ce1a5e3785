"""Settings of `cytomesh classify`: inputs, split, model, training."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cytomesh.core.config import Config, Seed, Size
from cytomesh.core.distributed import Device

MORPHOLOGY = {
    "thickness": "thickness_mm",
    "curvature": "curvature_per_mm",
    "obliqueness": "obliqueness_deg",
    "distance": "distance_mm",
}
"""Input name -> column of the node table."""

KNOWN_INPUTS = ("features", "features:<encoder>", "pmap", "coordinates", *MORPHOLOGY)


def _ascending(hops: list[int], least: int) -> list[int]:
    if hops != sorted(set(hops)) or min(hops, default=least) < least:
        raise ValueError(f"hops must be ascending, {least} or more")
    return hops


class InputsConfig(Config):
    """What a model sees of each node."""

    names: list[str] = Field(default=["features"], min_length=1)
    """Any mix of `features` (the run's only encoder), `features:<encoder>`, `pmap`, `coordinates`, `thickness`,
    `curvature`, `obliqueness`, `distance`."""
    hops: list[int] = Field(default=[0], min_length=1)
    """Neighbourhood sizes whose means stand side by side; 0 is the node itself. Not applied to `pmap` and
    `coordinates`, which are smooth as they are."""
    neighbourhood: Literal["walk", "disc"] = "walk"
    """`walk`: the mean over a node and its neighbours, applied h times (bell-shaped, stays within nodes that have the
    input); `disc`: the plain mean over all nodes at most h edges away."""
    standardise: Literal["training", "graph"] = "training"
    """Mean and SD of the training nodes for all graphs, or of each graph's own nodes (takes staining differences
    between brains out; uses no labels)."""
    clip_sd: float = Field(default=5.0, gt=0)
    """Standardised inputs are clipped at this many SD."""
    memory_gib: float = Field(default=4.0, ge=0)
    """Inputs of all graphs that are larger than this together (in single precision) stay on disk and are made ready
    part by part, with the same values; neighbourhood means and filled-in rows are written beside the results meanwhile.
    For networks with `training.part_nodes`, and LDA."""

    @field_validator("names")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name in ("features", "pmap", "coordinates", *MORPHOLOGY) or name.removeprefix("features:") not in (
                name,
                "",
            ):
                continue
            near = difflib.get_close_matches(name, KNOWN_INPUTS, n=1)
            way_out = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KNOWN_INPUTS)}"
            raise ValueError(f"unknown input '{name}', {way_out}")
        if len(set(names)) != len(names):
            raise ValueError("an input is listed twice")
        return names

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int]) -> list[int]:
        return _ascending(hops, least=0)


class SectionSplit(Config):
    """By the sections' roles in brains with role `train`; all labels of other brains serve evaluation only."""

    kind: Literal["section"] = "section"


class HemisphereSplit(Config):
    """Train on one hemisphere, test on the other."""

    kind: Literal["hemisphere"]
    train: list[Literal["L", "R"]] = Field(default=["L"], min_length=1)
    """Hemispheres of the training side."""
    test: list[Literal["L", "R"]] = Field(default=["R"], min_length=1)
    """Hemispheres of the test side."""
    validation: float = Field(default=0.15, ge=0, lt=0.5)
    """Share of the training side's nodes, in contiguous blocks, kept for validation; 0 trains on all of it."""


class BrainSplit(Config):
    """Train on some brains, test on others."""

    kind: Literal["brain"]
    train: list[str] = Field(min_length=1)
    """Brains of the training side."""
    test: list[str] = Field(min_length=1)
    """Brains of the test side."""
    validation: list[str] | float = 0.15
    """Brains for validation, or the share of the training side's nodes kept for it in contiguous blocks."""


class ColumnSplit(Config):
    """Split by a node column, such as blocks or sections of imported graphs; its values are compared as text."""

    kind: Literal["column"]
    column: str
    """Column of the nodes."""
    train: list[str] = Field(min_length=1)
    """Values of the training side."""
    test: list[str] = Field(min_length=1)
    """Values of the test side."""
    validation: list[str] | float = 0.15
    """Values for validation, or the share of the training side's nodes kept for it in contiguous blocks."""


class LogisticModel(Config):
    """Linear probe: multinomial logistic regression, classes balanced, L2."""

    kind: Literal["logistic"]
    strength: float = Field(default=1.0, gt=0)
    """Inverse of the L2 penalty (scikit-learn's C)."""
    iterations: int = Field(default=200, ge=1)
    """At most this many L-BFGS iterations."""


class LdaModel(Config):
    """Linear discriminant analysis with a shrunk covariance and balanced priors."""

    kind: Literal["lda"]
    shrinkage: float = Field(default=0.05, ge=0, le=1)
    """0: the empirical covariance within classes; 1: a multiple of the identity."""


class DiscriminantConfig(Config):
    """Shrinkage LDA before and beside a network: see `cytomesh.classify.discriminant`."""

    shrinkage: float = Field(default=0.005, gt=0, le=1)
    """Of the within-class covariance."""
    weight: float = Field(default=1.0, ge=0)
    """Of LDA's log-probabilities beside the network's (product of experts); 0: only its variates are used."""


class _NetworkModel(Config):
    """What all networks have."""

    discriminant: DiscriminantConfig | None = None
    """Give the network LDA's canonical variates for inputs, and LDA a vote; by default it sees the inputs."""


class MlpModel(_NetworkModel):
    """Each node by itself: a multi-layer perceptron."""

    kind: Literal["mlp"]
    hidden: Size = 128
    """Units of each hidden layer."""
    layers: int = Field(default=2, ge=1, le=1000)
    """Hidden layers."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On the hidden layers."""
    input_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the inputs."""


class KnnModel(Config):
    """Shares of the classes among the training nodes with the nearest inputs."""

    kind: Literal["knn"]
    neighbours: int = Field(default=15, ge=1)
    """How many training nodes vote."""


class PropagationModel(Config):
    """Label propagation over the mesh, from training nodes and, elsewhere, from nearest neighbours in the inputs."""

    kind: Literal["label_propagation"]
    alpha: float = Field(default=0.9, gt=0, lt=1)
    """Share of the neighbours against the start in every step."""
    steps: int = Field(default=50, ge=1)
    """Steps, i.e. how many hops a label may travel."""
    neighbours: int = Field(default=15, ge=1)
    """Training nodes that vote where a step starts without a label."""


class _GraphModel(_NetworkModel):
    """Residual graph layers over the mesh: input projection, layers, linear read-out."""

    hidden: Size = 64
    """Width of all layers."""
    layers: int = Field(default=3, ge=1, le=1000)
    """Graph layers, i.e. how many hops a node sees beyond its inputs."""
    jumping_knowledge: bool = False
    """Whether the read-out sees the outputs of all layers, side by side, instead of the last one's."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """On each layer's output."""
    input_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the inputs."""


class ConvolutionModel(_GraphModel):
    """Fixed weights on the neighbours: GCN, or GraphSAGE with means."""

    kind: Literal["gcn", "sage"]


class AttentionModel(_GraphModel):
    """Learnt weights on the neighbours: GAT, or GATv2."""

    kind: Literal["gat", "gatv2"]
    heads: int = Field(default=4, ge=1, le=1000)
    """Attention heads of each layer; the width is divided between them."""
    attention_dropout: float = Field(default=0.1, ge=0, lt=1)
    """On the attention weights."""
    edges: list[Literal["length", "dihedral", "features"]] = Field(default=[])
    """What GAT's attention sees of a mesh edge: its length, the angle between its two faces, the distance of the inputs
    at its ends; standardised in each hemisphere."""

    @model_validator(mode="after")
    def _divisible(self) -> AttentionModel:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        if len(set(self.edges)) != len(self.edges):
            raise ValueError("edges: an attribute is listed twice")
        if self.edges and self.kind == "gatv2":
            raise ValueError("edges: gatv2 has no edge attributes, gat has")
        return self


Model = Annotated[
    LogisticModel | LdaModel | KnnModel | PropagationModel | MlpModel | ConvolutionModel | AttentionModel,
    Field(discriminator="kind"),
]
Split = Annotated[SectionSplit | HemisphereSplit | BrainSplit | ColumnSplit, Field(discriminator="kind")]


class CrossEntropy(Config):
    """Cross-entropy, with the class weights of `TrainingConfig.balance`."""

    kind: Literal["cross_entropy"] = "cross_entropy"


class FocalLoss(Config):
    """Cross-entropy that counts nodes less the surer they are right (Lin et al. 2017)."""

    kind: Literal["focal"]
    gamma: float = Field(default=2.0, ge=1)
    """Exponent of 1 - p."""


class LogitAdjustment(Config):
    """Cross-entropy of logits moved by the classes' shares (Menon et al. 2021); with `balance: 0`."""

    kind: Literal["logit_adjustment"]
    tau: float = Field(default=1.0, gt=0)
    """Of the logarithm of the shares; 1 aims at the best mean recall."""


Loss = Annotated[CrossEntropy | FocalLoss | LogitAdjustment, Field(discriminator="kind")]


class TrainingConfig(Config):
    """How networks are trained (logistic regression and LDA have their own solvers): AdamW."""

    part_nodes: int | None = Field(default=None, ge=1)
    """Nodes that go through a network together, with a halo of as many hops as it has layers; None: all. Under
    torchrun, ranks share the parts."""
    parts_per_step: int | None = Field(default=None, ge=1)
    """Parts that one step adds up, drawn without replacement over an epoch (mini-batches over regions and brains);
    None: all, so that `part_nodes` changes nothing but memory and time. A multiple of the ranks keeps all busy."""
    epochs: int = Field(default=150, ge=1)
    """At most this many passes over the training nodes; exactly this many without validation nodes."""
    learning_rate: float = Field(default=0.005, gt=0)
    """Peak of a cosine schedule with a short warm-up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decoupled weight decay."""
    loss: Loss = CrossEntropy()
    """`cross_entropy`, `focal` or `logit_adjustment`."""
    balance: float = Field(default=0.5, ge=0, le=1)
    """Class weights n^-balance: 0 none, 1 every class counts the same."""
    noise: float = Field(default=0.0, ge=0)
    """SD of normal noise on the network's inputs, drawn in each epoch."""
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    """Probability mass spread over all classes in the target."""
    soft_labels: float = Field(default=0.0, ge=0, le=1)
    """Share of the probability maps (restricted to the trained areas) in the target, beside the label."""
    patience: int = Field(default=30, ge=1)
    """Stop after this many epochs without a better validation macro-F1; the best weights are kept."""
    validate_every: int = Field(default=5, ge=1)
    """Epochs from one validation to the next."""


class AreasConfig(Config):
    """Which areas take part."""

    min_nodes: int = Field(default=1, ge=1)
    """Areas with fewer labelled nodes on the training side, or on any side they are tested on, count as unlabelled."""


class SurroundingsConfig(Config):
    """Which areas lie around which, learnt from the training nodes: see `cytomesh.classify.arrangement`."""

    hops: list[int] = Field(default=[])
    """Sizes of the discs around a node in which the other areas are looked at; none: each node is named by itself."""
    weight: float | None = Field(default=None, ge=0)
    """Of what the areas around say, against the classifier; None: the best of 0, 0.1, 0.3, 1, 3 and 10 by macro-F1 of
    the validation nodes, 1 without any."""

    @field_validator("hops")
    @classmethod
    def _ordered(cls, hops: list[int]) -> list[int]:
        return _ascending(hops, least=1)


class PseudoLabelsConfig(Config):
    """Semi-supervised training: see `cytomesh.classify.pseudo_labels`."""

    rounds: int = Field(default=0, ge=0)
    """How often to train again with confident unlabelled nodes, of transfer brains too; 0: not at all."""
    threshold: float = Field(default=0.95, gt=0, le=1)
    """Least probability of the best area."""


class NullConfig(Config):
    """Spin null: labels rotated on the sphere, the same analysis again."""

    spins: int = Field(default=0, ge=0)
    """Random rotations; 0 for no null."""


class ClassifyConfig(Config):
    """Everything `cytomesh classify` can be told."""

    inputs: InputsConfig = InputsConfig()
    """What the model sees of each node."""
    model: Model = AttentionModel(kind="gat")
    """`logistic`, `lda`, `knn`, `label_propagation`, `mlp`, `gcn`, `sage`, `gat` or `gatv2`."""
    split: Split = SectionSplit()
    """`section`, `hemisphere`, `brain` or `column`."""
    training: TrainingConfig = TrainingConfig()
    """Networks only."""
    areas: AreasConfig = AreasConfig()
    """Which areas take part."""
    surroundings: SurroundingsConfig = SurroundingsConfig()
    """Areas are made to lie around each other as on the training side, for any model."""
    proportions: Literal["free", "training"] = "free"
    """`training`: in a hemisphere without training nodes, areas are taken to have the shares of nodes that they have
    among the training nodes (reads its inputs, never its labels); for whole hemispheres annotated throughout."""
    pseudo_labels: PseudoLabelsConfig = PseudoLabelsConfig()
    """Unlabelled nodes that become labelled ones."""
    calibration: Literal["none", "temperature"] = "none"
    """`temperature`: logits are divided by a number fitted on the validation nodes, one a training."""
    null: NullConfig = NullConfig()
    """Spin null; networks are trained once a spin."""
    n_seeds: int = Field(default=3, ge=1)
    """Trainings from different random states; probabilities are averaged over them. Solvers without chance run once."""
    device: Device = "auto"
    """Where networks are trained."""
    seed: Seed = 0
    """Of all randomness."""


class PredictConfig(Config):
    """Everything `cytomesh classify-predict` can be told."""

    min_confidence: float = Field(default=0.0, ge=0, le=1)
    """Nodes whose best area is less probable get no area ("don't know")."""
    max_distance_quantile: float | None = Field(default=None, gt=0, le=1)
    """Nodes whose inputs lie farther from the training mean than this quantile of the training nodes get no area."""
    outline_step_mm: float = Field(default=0.25, gt=0)
    """Grid on which sections are sampled for the areas' outlines."""
    outlines: bool = True
    """Whether to write outlines for QuPath; needs the study's section table, not its images."""
