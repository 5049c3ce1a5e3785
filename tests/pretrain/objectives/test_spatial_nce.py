"""SpatialNCE's weights, pair by pair."""

from __future__ import annotations

import math

import pytest
from pretrain_cases import distance, random_batch

from cytomesh.pretrain.distance import Euclidean
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE

KERNELS = {
    "gaussian": lambda d, s: math.exp(-d * d / (2 * s * s)),
    "exponential": lambda d, s: math.exp(-d / s),
    "radius": lambda d, s: float(d <= s),
    "inverse": lambda d, s: 1 / (1 + d / s),
}


@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_weights_equal_the_loops(kernel):
    batch = random_batch(14)
    weights_apart = {"same_section_weight": 0.1, "same_brain_weight": 0.4}
    objective = SpatialNCE(2.5, kernel, distance=Euclidean(), reach_mm=4.0, **weights_apart)
    weights = objective.weights(batch[2:9], batch)
    for i in range(2, 9):
        for j in range(14):
            d = distance(batch.position[i], batch.position[j])
            expected = KERNELS[kernel](d, 2.5) if d <= 4.0 else 0.0
            if batch.node[i] != batch.node[j]:
                if batch.section[i] == batch.section[j]:
                    expected *= 0.1
                elif batch.brain[i] == batch.brain[j]:
                    expected *= 0.4
            assert float(weights[i - 2, j]) == pytest.approx(expected, abs=1e-12)


def test_views_of_one_patch_have_full_weight():
    batch = random_batch(14)
    alone = SpatialNCE(2.5, distance=Euclidean(), reach_mm=4.0, same_section_weight=0.0, same_brain_weight=0.0)
    weights = alone.weights(batch, batch)
    assert float(weights[-1, -2]) == 1.0
