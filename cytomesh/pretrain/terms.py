"""From settings to the terms of the loss."""

from __future__ import annotations

from torch import Tensor

from cytomesh.core.registry import Sections
from cytomesh.graph.geodesics import LocalGeodesics
from cytomesh.pretrain.distance import Geodesic
from cytomesh.pretrain.loss import Term
from cytomesh.pretrain.objectives.base import ContrastiveConfig, Moment
from cytomesh.pretrain.objectives.kinds import OBJECTIVES


class Terms:
    """The objectives that the settings name, at any moment of training.

    Parameters
    ----------
    config : Sections
        See `Objectives`.
    areas : (c,) int64 tensor
        Labels that occur, ascending; one output of the classifier each.
    geodesics : LocalGeodesics, optional
        Needed by SpatialNCE with geodesic distance.
    """

    def __init__(self, config: Sections, areas: Tensor, geodesics: LocalGeodesics | None = None) -> None:
        self.config = config
        self.areas = areas
        self.geodesic = None if geodesics is None else Geodesic(geodesics)

    def at(self, progress: float) -> list[Term]:
        """Return the terms of the loss when `progress` (0 to 1) of the steps are done."""
        moment, terms = Moment(self.areas, progress, self.geodesic), []
        for name, settings in self.config.named().items():
            objective = OBJECTIVES[name].from_settings(settings, moment)
            temperature = settings.temperature if isinstance(settings, ContrastiveConfig) else 1.0
            terms.append(Term(name, objective, temperature, settings.weight))
        return terms
