"""Numbers that show a collapse, and the log that survives being killed."""

from __future__ import annotations

import math

import pytest
import torch
from pretrain_cases import random_vectors

from cytomesh.pretrain.monitor import (
    MetricsLog,
    alignment,
    effective_rank,
    feature_spread,
    read_metrics,
    uniformity,
)


def test_spread_of_equal_and_opposite_vectors():
    one = random_vectors(1).repeat(10, 1)
    assert feature_spread(one) == pytest.approx(0.0, abs=1e-12)
    assert feature_spread(torch.cat([one, -one])) == pytest.approx(1.0)


def test_effective_rank_counts_used_dimensions():
    basis = torch.eye(6, dtype=torch.float64)
    vectors = torch.cat([basis[:3], -basis[:3]])
    assert effective_rank(vectors) == pytest.approx(3.0)
    assert effective_rank(vectors[:, :3]) == pytest.approx(3.0)
    assert effective_rank(random_vectors(1).repeat(10, 1)) == pytest.approx(1.0, abs=1e-3)


def test_effective_rank_is_the_entropy_of_singular_values():
    vectors = random_vectors(30, 5)
    values = torch.linalg.svdvals(vectors - vectors.mean(dim=0))
    share = (values / values.sum()).tolist()
    assert effective_rank(vectors) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)))


def test_alignment_and_uniformity_equal_the_loops():
    z = random_vectors(7, 3)
    w = torch.rand((7, 7), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [(i, j) for i in range(7) for j in range(7) if i != j]
    gaps = {pair: float((z[pair[0]] - z[pair[1]]).square().sum()) for pair in pairs}
    expected = sum(float(w[pair]) * gaps[pair] for pair in pairs) / sum(float(w[pair]) for pair in pairs)
    assert alignment(z, w) == pytest.approx(expected)
    assert uniformity(z) == pytest.approx(math.log(sum(math.exp(-2 * gap) for gap in gaps.values()) / 42), abs=1e-6)
    assert alignment(z, torch.eye(7)) == 0.0
    assert uniformity(z[:1].repeat(5, 1)) == pytest.approx(0.0, abs=1e-6)


def test_log_goes_on_from_a_step_and_drops_what_came_later(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for step in (5, 10, 15):
        log.write(step, {"loss": float(step)})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 20, "lo')  # killed while writing
    log = MetricsLog(tmp_path, 10)
    log.write(15, {"loss": 0.5})
    log.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [(5, 5.0), (10, 10.0), (15, 0.5)]
