"""Settings of `cytomesh parcellate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from cytomesh.core.config import Config, Seed
from cytomesh.core.registry import NameOf, Sections
from cytomesh.core.renamed import METHODS as FORMER
from cytomesh.core.renamed import SETTINGS
from cytomesh.parcellate.method import METHODS, BaselineName, MethodName, Plugins


class PreparationConfig(Config):
    """How node features become the coordinates that are clustered."""

    clip_sd: float = Field(5.0, gt=0)
    """Standardised features are clipped at this many standard deviations."""
    hops: int = Field(3, ge=0)
    """Each node takes the mean over this many steps of (node + neighbours) averaging; 0 leaves features as they are."""
    noise_hops: int = Field(3, ge=0)
    """Features are whitened by how much they differ from their own mean over so many hops (maximum autocorrelation
    factors), so that what varies from node to node counts little and what varies between regions counts; 0: not."""
    n_factors: int = Field(32, ge=1, le=65536)
    """At most so many whitened factors, or principal components where `noise_hops` is 0."""
    impute_hops: int = Field(2, ge=0)
    """Nodes without features, up to so many hops from one with features, take the mean of their known neighbours;
    farther ones (the medial wall, a torn block) are masked: label 0."""
    obliqueness_power: float = Field(0.0, ge=0)
    """In means over neighbours a node weighs cos(obliqueness) to this power, so that cortex which is cut obliquely
    counts for less; 0: every node alike."""
    distance_scale_mm: float | None = Field(None, gt=0)
    """In means over neighbours a node weighs exp(-d^2 / 2 s^2), too, d its distance from the section that it is linked
    to and s this scale; None: every node alike."""


class AffinityConfig(Config):
    """Weights of the mesh edges."""

    kind: Literal["rbf", "cosine", "correlation"] = "rbf"
    """rbf: exp(-d^2 / (s_i s_j)) with local scales s; cosine and correlation: (1 + r) / 2 between feature vectors."""
    sharpness: float = Field(2.0, gt=0)
    """Exponent on the weights; higher makes borders cheaper to cut."""
    hops: int = Field(1, ge=1, le=6)
    """Nodes up to so many hops apart are joined, not only mesh neighbours."""
    floor: float = Field(1e-4, ge=0, lt=1)
    """Smallest weight of an edge; 0 lets dissimilar neighbours come apart."""


class SpectralConfig(Config):
    """Eigenvectors and labels."""

    solver: Literal["auto", "shift_invert", "lanczos", "chebyshev"] = "auto"
    """Lanczos with or without shift-invert, or Chebyshev-filtered subspace iteration; auto takes what measured fastest
    for the size and the density of the graph."""
    tolerance: float = Field(1e-5, gt=0)
    """Largest residual |L v - lambda v| of a unit eigenvector that is accepted."""
    restarts: int = Field(3, ge=0)
    """Restarts of k-means from random centres, beside that from cluster_qr's; none on more than 5,000 nodes. 0:
    cluster_qr alone."""


class FeatureClustersConfig(Config):
    """Types of cortex, and their pieces."""

    n_types: int | None = Field(None, ge=2)
    """Number of types (clusters in feature space, wherever in the cortex); None: a third of the parcels."""
    rounds: int = Field(2, ge=1)
    """Rounds of k-means; from the second on in coordinates whitened by the scatter within the types of the last."""
    smoothing_hops: int = Field(2, ge=1)
    """Neighbourhood whose most frequent type a node takes."""
    smoothing_rounds: int = Field(5, ge=0)
    """How often."""
    restarts: int = Field(3, ge=1)
    """Restarts of k-means."""


class DiffusionConfig(Config):
    """Coordinates from feature neighbours, parcels by Ward's method in them."""

    neighbours: int = Field(30, ge=2)
    """Nearest neighbours in feature space that a node is joined with, wherever they lie."""
    n_components: int = Field(10, ge=1)
    """Diffusion coordinates in which parcels are made."""
    max_regions: int = Field(10_000, ge=100)
    """Larger meshes are first merged into so many small regions, and neighbours sought among those."""


class JointConfig(Config):
    """Which graphs are parcellated together, and how they are joined."""

    hemispheres: Literal["separate", "mirrored", "joint"] = "separate"
    """separate: each on its own; joint: coordinates and borders of one clustering, parcels of each hemisphere its own;
    mirrored: also joined across the midline (x of the reference space turned round), so that parcels correspond."""
    brains: Literal["separate", "joint"] = "separate"
    """joint: brains are joined where they are near, so that parcels correspond."""
    registration: str | None = None
    """Nodes are near each other, and parcels of brains compared, on the sphere of this registration (`cytomesh
    register`); None: in reference space."""
    radius_mm: float = Field(10.0, gt=0)
    """Only nodes of two graphs that are nearer than this are joined (on a sphere of the hemispheres' mean area)."""
    candidates: int = Field(16, ge=1)
    """Nearest nodes of another graph among which feature neighbours are sought."""
    neighbours: int = Field(3, ge=1)
    """How many of them a node is joined with."""


class StabilityConfig(Config):
    """How often a parcellation is repeated, to see whether it comes back."""

    splits: int = Field(1, ge=0, le=100)
    """How often the sections of each graph are divided in two halves, each of which is parcellated on its own, with a
    seed of its own: every other section the first time, at random afterwards. 0: no stability, no confidence."""
    nulls: int = Field(1, ge=0, le=100)
    """Parcellations of random numbers in the place of the features, by the same method on the same mesh, with which
    halves, brains and borders inside areas are compared, beside geometry-only ones."""


class EvaluationConfig(Config):
    """What a parcellation is compared with."""

    spins: int = Field(20, ge=0, le=1000)
    """Rotations of the areas on the sphere; 0, or a graph without a sphere: geometry-only null alone."""
    tilings: int = Field(5, ge=2, le=1000)
    """Geometry-only parcellations (Voronoi) of the same number of parcels."""
    baselines: tuple[BaselineName, ...] = ("ward", "kmeans", "voronoi")
    """Other methods scored beside; random_spectral is the normalised cut with features rotated on the sphere (those of
    other places, in the place of geometry), and left out where there is no sphere; leiden needs the extra `leiden`."""
    stability: StabilityConfig = StabilityConfig()
    """Whether the parcels come back from other sections and in other brains."""


class ParcellateConfig(Config):
    """Settings of a parcellation."""

    presets: ClassVar[str] = "parcellate"
    renamed: ClassVar[Mapping[str, str]] = {"types": SETTINGS["types"]}
    seed: Seed = 0
    """Seed of everything random."""
    encoder: str | None = None
    """Features to use (folder under RUN/features); may be left out where there is only one."""
    method: Annotated[str | None, NameOf(METHODS, renamed=FORMER)] = None
    """diffusion: Ward's method in a diffusion map of feature neighbours; feature_clusters: pieces of clusters in
    feature space; spectral: normalised cut of the mesh graph; ward: Ward's method along mesh edges; kmeans: features
    alone; leiden: communities of the mesh graph; voronoi: geometry alone; or what packages add. None: the best of
    `methods`."""
    methods: tuple[MethodName, ...] = Field(("diffusion", "ward"), min_length=1)
    """Methods that are compared where none is named: taken is the one by which parcels from two halves of the sections
    agree best, above what it makes of random numbers. No area is read."""
    n_parcels: int | None = Field(None, ge=2)
    """Parcels of each graph, or of the graphs that are parcellated together; None: see `choose`."""
    choose: Literal["eigengap", "stability"] = "eigengap"
    """How a number of parcels that is not given is found. eigengap: where the eigenvalues of the affinity graph have
    their widest relative gap; stability: where the agreement of parcels from two halves of the sections, over at least
    three splits, is the largest multiple of that of chance, among the `candidates` but the first and the last."""
    candidates: tuple[int, ...] = ()
    """Numbers that `choose: stability` compares; empty: twelve from 2 to `max_parcels`."""
    max_parcels: int = Field(60, ge=3)
    """Largest number that may be chosen."""
    min_nodes: int = Field(10, ge=1)
    """Smaller parcels are merged into the neighbour of strongest affinity; smaller islands of the mesh are masked."""
    hierarchy: tuple[int, ...] = ()
    """Smaller numbers of parcels to which the parcels are merged as well, each nested in the one before."""
    smoothing_rounds: int = Field(0, ge=0)
    """How often border nodes may go over to the touching parcel with which they share more affinity; parcels stay
    connected and large enough. 0: borders as the method leaves them. Not for kmeans and voronoi."""
    n_gradients: int = Field(5, ge=1, le=50)
    """Diffusion-map components written beside the labels."""
    preparation: PreparationConfig = PreparationConfig()
    """From features to coordinates."""
    affinity: AffinityConfig = AffinityConfig()
    """Weights of the mesh edges."""
    spectral: SpectralConfig = SpectralConfig()
    """Eigenvectors and labels."""
    diffusion: DiffusionConfig = DiffusionConfig()
    """The `diffusion` method."""
    feature_clusters: FeatureClustersConfig = FeatureClustersConfig()
    """The `feature_clusters` method."""
    plugins: Plugins = Sections()
    """Settings of methods that packages add, by their names."""
    joint: JointConfig = JointConfig()
    """Several hemispheres or brains together."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Scores, nulls and baselines."""

    @property
    def one_method(self) -> str:
        """The method, where one is named or chosen."""
        assert self.method is not None, "no method is chosen"
        return self.method

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # nothing goes stale by a setting that no parcellation had so far
        return {name: value for name, value in handler(self).items() if name != "plugins" or value}
