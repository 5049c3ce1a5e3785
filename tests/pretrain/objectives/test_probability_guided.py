"""Probability-guided weights, pair by pair."""

from __future__ import annotations

import pytest
from pretrain_cases import N_AREAS, random_batch

from cytomesh.pretrain.objectives.probability_guided import ProbabilityGuided


def test_weights_equal_the_loops():
    batch = random_batch(9)
    weights = ProbabilityGuided().weights(batch[1:4], batch)
    for i in range(1, 4):
        for j in range(9):
            expected = sum(float(batch.probability[i, a] * batch.probability[j, a]) for a in range(N_AREAS))
            assert float(weights[i - 1, j]) == pytest.approx(expected, abs=1e-12)


def test_patch_outside_all_areas_has_no_weight():
    batch = random_batch(9)
    assert not ProbabilityGuided().weights(batch, batch)[0].any()
