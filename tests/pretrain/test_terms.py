"""The loss follows its settings over the course of training."""

from __future__ import annotations

import pytest
import torch
from pretrain_cases import surface_geodesics

from cytomesh.pretrain.distance import Euclidean, Geodesic
from cytomesh.pretrain.objectives.kinds import are_contrastive, objectives_of
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCEConfig, sigma_mm
from cytomesh.pretrain.terms import Terms


def test_sigma_changes_by_the_same_factor():
    config = SpatialNCEConfig(sigma_mm=8.0, sigma_end_mm=2.0)
    assert [sigma_mm(config, share) for share in (0.0, 0.5, 1.0)] == pytest.approx([8.0, 4.0, 2.0])
    assert sigma_mm(SpatialNCEConfig(sigma_mm=8.0), 0.7) == 8.0


def test_terms_are_those_of_the_settings():
    settings = {
        "spatial_nce": {
            "sigma_mm": 6.0,
            "sigma_end_mm": 3.0,
            "reach_mm": 9.0,
            "kernel": "exponential",
            "normal_factor": 2.0,
        },
        "probability_guided": {"weight": 0.5, "temperature": 0.2},
        "supervised_contrastive": {},
        "simclr": {},
        "supervised": {"weight": 3.0},
    }
    config = objectives_of(**settings)
    terms = Terms(config, torch.tensor([2, 5])).at(1.0)
    assert are_contrastive(config)
    assert not are_contrastive(objectives_of(supervised={}))
    assert terms[-1].objective.areas.tolist() == [2, 5]
    assert terms[-1].weight == 3.0
    assert [term.name for term in terms] == list(settings)
    spatial = terms[0].objective
    assert spatial.sigma_mm == pytest.approx(3.0)
    assert spatial.kernel == "exponential"
    assert isinstance(spatial.distance, Euclidean)
    assert spatial.distance.normal_factor == 2.0
    assert (terms[1].weight, terms[1].temperature) == (0.5, 0.2)
    along = {"distance": "geodesic", "sigma_mm": 3.0, "reach_mm": 9.0}
    geodesic = Terms(objectives_of(spatial_nce=along), torch.arange(0), surface_geodesics(5.0))
    assert isinstance(geodesic.at(0.0)[0].objective.distance, Geodesic)
