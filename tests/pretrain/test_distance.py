"""Distances between patches, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from pretrain_cases import SURFACE, distance, random_batch, surface_geodesics

from cytomesh.graph.geodesics import geodesics_from
from cytomesh.pretrain.distance import Euclidean, Geodesic


def test_euclidean():
    batch = random_batch(9)
    found = Euclidean()(batch[2:5], batch)
    for i in range(2, 5):
        for j in range(9):
            assert float(found[i - 2, j]) == pytest.approx(distance(batch.position[i], batch.position[j]), abs=1e-12)


def test_normal_part_counts_more():
    batch = random_batch(9)
    found = Euclidean(normal_factor=3.0)(batch, batch)
    assert torch.allclose(found, found.T)
    for i in range(9):
        for j in range(9):
            step = batch.position[i] - batch.position[j]
            h2 = (float(step @ batch.normal[i]) ** 2 + float(step @ batch.normal[j]) ** 2) / 2
            t2 = float(step @ step) - h2
            assert float(found[i, j]) == pytest.approx(math.sqrt(t2 + 9 * h2), abs=1e-9)


def test_opposite_banks_of_a_sulcus_are_far_apart():
    batch = random_batch(9)[torch.arange(2)]
    batch.position[:] = torch.tensor([[0.0, 0, 0], [2.0, 0, 0]])
    batch.normal[:] = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])
    assert float(Euclidean(normal_factor=5.0)(batch, batch)[0, 1]) == pytest.approx(10.0)
    batch.normal[:] = torch.tensor([0.0, 0, 1])
    assert float(Euclidean(normal_factor=5.0)(batch, batch)[0, 1]) == pytest.approx(2.0)


def test_single_precision_is_exact_near_zero():
    batch = random_batch(200, dtype=torch.float32)
    batch.position.add_(100.0)
    assert Euclidean()(batch, batch).diagonal().abs().max() == 0
    assert Euclidean(normal_factor=4.0)(batch, batch).diagonal().abs().max() < 1e-3


def test_geodesic_is_that_of_the_vertices():
    batch = random_batch(40)
    reach = 7.0
    found = Geodesic(surface_geodesics(reach))(batch[3:20], batch)
    assert found.dtype == batch.position.dtype
    for i in range(3, 20):
        u = int(batch.vertex[i])
        for j in range(40):
            v = int(batch.vertex[j])
            expected = geodesics_from(SURFACE, min(u, v), reach)[max(u, v)]
            assert float(found[i - 3, j]) == pytest.approx(expected, rel=1e-3)
    assert torch.isinf(found).any()
    assert (found[:, :] == 0).sum() > 17  # shared vertices


def test_geodesic_in_shapes_for_a_gpu():
    distance, batch = Geodesic(surface_geodesics(7.0)), random_batch(40)
    expected = distance.listed(batch.vertex[3:20], batch.vertex)
    assert torch.equal(distance.padded(batch.vertex[3:20], batch.vertex), expected)
