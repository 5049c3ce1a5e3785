"""Objectives in anybody's loop: what they are not told, or told wrongly, is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cytomesh.core.errors import ConfigError
from cytomesh.pretrain.objectives.probability_guided import ProbabilityGuided
from cytomesh.pretrain.objectives.simclr import SimCLR
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE
from cytomesh.pretrain.objectives.supervised_contrastive import SupervisedContrastive

VECTORS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
POSITION = torch.arange(18.0).reshape(6, 3)
NUMBERS = torch.tensor([1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize(
    ("objective", "places", "said"),
    [
        (SpatialNCE(3.0), {}, "SpatialNCE: found no position"),
        (SpatialNCE(3.0), {"positions": POSITION}, "did you mean 'position'"),
        (SpatialNCE(3.0), {"position": POSITION[:, :2]}, r"shape \(6, 2\), expected a tensor of \(6, 3\)"),
        (SpatialNCE(3.0), {"position": POSITION[:5]}, r"shape \(5, 3\)"),
        (SpatialNCE(3.0), {"position": POSITION.numpy()}, "ndarray"),
        (SpatialNCE(3.0), {"position": POSITION * torch.nan}, "NaN or infinite"),
        (SpatialNCE(3.0, same_brain_weight=0.5), {"position": POSITION}, "no brain and no section"),
        (SpatialNCE(3.0, same_section_weight=0.5), {"position": POSITION, "brain": NUMBERS}, "found no section"),
        (ProbabilityGuided(), {"area": NUMBERS}, "found no probability"),
        (ProbabilityGuided(), {"probability": -VECTORS.abs()}, "negative"),
        (SupervisedContrastive(), {}, "found no area"),
        (SimCLR(), {"position": POSITION}, "found no node"),
    ],
)
def test_places_that_are_missing_or_wrong_are_named(objective, places, said):
    with pytest.raises(ConfigError, match=said):
        objective(VECTORS, **places)


def test_vectors_that_are_none_are_named():
    for wrong in (torch.ones(6, 2, 3), torch.ones(6), torch.ones(6, 3, dtype=torch.int64), np.ones((6, 3))):
        with pytest.raises(ConfigError, match="vectors"):
            SpatialNCE(3.0)(wrong, position=POSITION)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_places_of_any_type_are_those_in_single_precision(dtype):
    place = (POSITION * 2).to(dtype)
    torch.testing.assert_close(
        SpatialNCE(3.0)(VECTORS, position=place), SpatialNCE(3.0)(VECTORS, position=place.float())
    )


def test_settings_that_mean_nothing_are_named():
    for wrong in ({"kernel": "gauss"}, {"sigma_mm": -3.0}, {"reach_mm": 0.0}, {"same_section_weight": -1.0}):
        with pytest.raises(ConfigError, match="SpatialNCE"):
            SpatialNCE(**{"sigma_mm": 3.0, **wrong})
    with pytest.raises(ConfigError, match="temperature: found 0"):
        SpatialNCE(3.0)(VECTORS, position=POSITION, temperature=0.0)


def test_what_is_told_counts():
    near = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    plain = SpatialNCE(3.0)(VECTORS, position=near)
    apart = SpatialNCE(3.0, same_brain_weight=0.0)(VECTORS, position=near, brain=NUMBERS, section=torch.arange(6))
    assert torch.isfinite(plain) and torch.isfinite(apart) and not torch.isclose(plain, apart)
