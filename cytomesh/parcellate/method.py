"""What a method of parcellation is, and which there are; other packages add theirs (see `Registry`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from cytomesh.core.config import Config
from cytomesh.core.registry import EachAdded, NameOf, Registry, Sections
from cytomesh.core.renamed import METHODS as FORMER

if TYPE_CHECKING:
    from cytomesh.parcellate.config import ParcellateConfig
    from cytomesh.parcellate.features import NodeFeatures


@dataclass(frozen=True)
class Parcellation:
    """Labels of the nodes of one hemisphere.

    Parameters
    ----------
    labels : (m,) int64
        From 0.
    facts : dict
        What the method has to say about itself (residual, normalised cut, ...).
    """

    labels: NDArray[np.int64]
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is to be divided.

    Parameters
    ----------
    features : NodeFeatures
        Coordinates, mesh edges and positions of m nodes.
    weights : (m, m) CSR float64
        Affinity of mesh neighbours, see `affinity_graph`.
    k : int
        How many parcels are wanted.
    settings : ParcellateConfig
    source : str
        What errors name.
    """

    features: NodeFeatures
    weights: sp.csr_matrix
    k: int
    settings: ParcellateConfig
    source: str


class Method(ABC):
    """Divides nodes into parcels.

    Settings of a method that another package adds are its `Config`, under `plugins.<name>` in the settings.
    """

    Config: ClassVar[type[Config] | None] = None
    is_connected: ClassVar[bool] = True
    """Whether every parcel is in one piece."""
    has_borders: ClassVar[bool] = True
    """Whether borders follow the features, so that smoothing them (`smoothing_rounds`) has a meaning."""

    @abstractmethod
    def parcels(self, problem: Problem) -> Parcellation:
        """Divide nodes into k parcels."""


METHODS: Registry[Method] = Registry(
    "cytomesh.parcellation_methods",
    Method,
    {
        "diffusion": "cytomesh.parcellate.methods:Diffusion",
        "feature_clusters": "cytomesh.parcellate.methods:FeatureClusters",
        "spectral": "cytomesh.parcellate.methods:NormalisedCut",
        "ward": "cytomesh.parcellate.methods:Ward",
        "kmeans": "cytomesh.parcellate.methods:KMeans",
        "leiden": "cytomesh.parcellate.methods:Leiden",
        "voronoi": "cytomesh.parcellate.methods:Voronoi",
    },
)
MethodName = Annotated[str, NameOf(METHODS, renamed=FORMER)]
BaselineName = Annotated[str, NameOf(METHODS, "random_spectral", renamed=FORMER)]
_ADDED = EachAdded(METHODS, __name__, "PluginsConfig")
Plugins = Annotated[Sections, _ADDED]
__getattr__ = _ADDED.attribute
