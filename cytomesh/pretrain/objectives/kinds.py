"""The objectives that settings can name; other packages add theirs (see `Registry`)."""

from __future__ import annotations

from typing import Annotated, Any

from cytomesh.core.registry import EachOf, Registry, Sections
from cytomesh.pretrain.objectives.base import Contrastive, Objective

OBJECTIVES: Registry[Objective] = Registry(
    "cytomesh.objectives",
    Objective,
    {
        "spatial_nce": "cytomesh.pretrain.objectives.spatial_nce:SpatialNCE",
        "probability_guided": "cytomesh.pretrain.objectives.probability_guided:ProbabilityGuided",
        "supervised_contrastive": "cytomesh.pretrain.objectives.supervised_contrastive:SupervisedContrastive",
        "simclr": "cytomesh.pretrain.objectives.simclr:SimCLR",
        "supervised": "cytomesh.pretrain.objectives.supervised:Supervised",
    },
)
_EACH = EachOf(OBJECTIVES, __name__, "ObjectivesConfig")
Objectives = Annotated[Sections, _EACH]
"""The objectives to sum, each with its settings; at least one."""


def objectives_of(**sections: Any) -> Sections:
    """Return settings with these objectives."""
    return _EACH.model.model_validate(sections)


def are_contrastive(objectives: Sections) -> bool:
    """Return whether any objective compares patches, and so needs the projection head."""
    return any(issubclass(OBJECTIVES[name], Contrastive) for name in objectives.named())


def need(objectives: Sections, what: str) -> list[str]:
    """Return the objectives that need something of the data."""
    return [name for name in objectives.named() if what in OBJECTIVES[name].needs]


__getattr__ = _EACH.attribute
