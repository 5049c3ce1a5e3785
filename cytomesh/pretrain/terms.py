"""From settings to objectives."""

from __future__ import annotations

from torch import Tensor

from cytomesh.graph.geodesics import LocalGeodesics
from cytomesh.pretrain.config import ObjectivesConfig, SpatialNCEConfig
from cytomesh.pretrain.distance import Distance, Euclidean, Geodesic
from cytomesh.pretrain.loss import Term
from cytomesh.pretrain.objectives.probability_guided import ProbabilityGuided
from cytomesh.pretrain.objectives.simclr import SimCLR
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE
from cytomesh.pretrain.objectives.supervised import Supervised
from cytomesh.pretrain.objectives.supervised_contrastive import SupervisedContrastive


class Terms:
    """The objectives that the settings name, at any moment of training.

    Parameters
    ----------
    config : ObjectivesConfig
    areas : (c,) int64 tensor
        Labels that occur, ascending; one output of the classifier each.
    geodesics : LocalGeodesics, optional
        Needed by SpatialNCE with geodesic distance.
    """

    def __init__(self, config: ObjectivesConfig, areas: Tensor, geodesics: LocalGeodesics | None = None) -> None:
        self.config = config
        self.areas = areas
        self.distance: Distance
        if geodesics is not None:
            self.distance = Geodesic(geodesics)
        else:
            self.distance = Euclidean(config.spatial_nce.normal_factor if config.spatial_nce else 1.0)

    def at(self, progress: float) -> list[Term]:
        """Return the terms of the loss when `progress` (0 to 1) of the steps are done."""
        config, terms = self.config, []
        if spatial := config.spatial_nce:
            objective = SpatialNCE(
                sigma_mm(spatial, progress),
                spatial.kernel,
                distance=self.distance,
                reach_mm=spatial.reach_mm,
                same_section_weight=spatial.same_section_weight,
                same_brain_weight=spatial.same_brain_weight,
            )
            terms.append(Term("spatial_nce", objective, spatial.temperature, spatial.weight))
        if guided := config.probability_guided:
            terms.append(Term("probability_guided", ProbabilityGuided(), guided.temperature, guided.weight))
        if contrastive := config.supervised_contrastive:
            name = "supervised_contrastive"
            terms.append(Term(name, SupervisedContrastive(), contrastive.temperature, contrastive.weight))
        if simclr := config.simclr:
            terms.append(Term("simclr", SimCLR(), simclr.temperature, simclr.weight))
        if supervised := config.supervised:
            terms.append(Term("supervised", Supervised(self.areas), weight=supervised.weight))
        return terms


def sigma_mm(config: SpatialNCEConfig, progress: float) -> float:
    """Return the kernel's width: from `sigma_mm` to `sigma_end_mm`, geometrically."""
    if config.sigma_end_mm is None:
        return config.sigma_mm
    return float(config.sigma_mm * (config.sigma_end_mm / config.sigma_mm) ** progress)
