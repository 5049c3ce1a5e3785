"""Supervised contrastive weights, pair by pair."""

from __future__ import annotations

from pretrain_cases import random_batch

from cytomesh.pretrain.objectives.supervised_contrastive import SupervisedContrastive


def test_weights_equal_the_loops():
    batch = random_batch(20)
    weights = SupervisedContrastive().weights(batch, batch)
    for i in range(20):
        for j in range(20):
            is_same_area = batch.area[i] == batch.area[j] and batch.area[i] > 0
            assert bool(weights[i, j]) == bool(is_same_area or batch.node[i] == batch.node[j])


def test_patches_without_annotation_do_not_attract_each_other():
    batch = random_batch(20)
    none = (batch.area == 0).nonzero()[:2, 0]
    assert len(none) == 2
    assert SupervisedContrastive().weights(batch[none], batch[none])[0, 1] == 0
