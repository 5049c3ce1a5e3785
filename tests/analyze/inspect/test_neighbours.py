"""Neighbours across brains, beside a loop over all nodes."""

import numpy as np
import pytest

from cytomesh.analyze.inspect.neighbours import correspondence, neighbours_across
from cytomesh.core.errors import FeatureError
from cytomesh.core.random import generator


def test_the_most_similar_nodes_of_each_other_brain():
    random = np.random.default_rng(0)
    features = random.normal(size=(60, 5)).astype(np.float32)
    brains = np.repeat(["B01", "B02", "B03"], [30, 28, 2])
    queries = np.array([3, 40, 12])
    found = {part.brain: part for part in neighbours_across(features, brains, queries, 4)}
    assert found["B01"].queries.tolist() == [40] and found["B02"].queries.tolist() == [3, 12]
    assert found["B03"].nodes.shape == (3, 2)  # it has no more
    for part in found.values():
        for query, nodes, similarity in zip(part.queries, part.nodes, part.similarity, strict=True):
            cosine = [
                features[query] @ features[i] / np.linalg.norm(features[query]) / np.linalg.norm(features[i])
                if brains[i] == part.brain
                else -2
                for i in range(60)
            ]
            assert nodes.tolist() == np.argsort(cosine)[::-1][: len(nodes)].tolist()
            np.testing.assert_allclose(similarity, np.array(cosine)[nodes], atol=1e-6)


def test_the_same_cortex_is_found_again_and_chance_is_said():
    """Two brains of the same places and features; every second area is not annotated in one of them."""
    random = np.random.default_rng(1)
    n = 200
    places, features = random.uniform(0, 100, (n, 3)), random.normal(size=(n, 8))
    labels = random.integers(1, 5, n)
    both = (np.tile(features, (2, 1)), np.repeat(["B01", "B02"], n), np.tile(labels, 2), np.tile(places, (2, 1)))
    found = correspondence(*both, np.arange(2 * n), generator(0, "chance"))
    assert found.same_area == 1 and found.distance_mm == 0 and found.n_pairs == 2 * n
    expected = sum((labels == area).mean() ** 2 for area in range(1, 5))
    assert found.same_area_chance == pytest.approx(expected)
    assert 40 < found.distance_chance_mm < 90
    bare = correspondence(both[0], both[1], np.zeros(2 * n, int), both[3], np.arange(9), generator(0, "chance"))
    assert np.isnan(bare.same_area) and bare.distance_mm == 0


def test_one_brain_is_refused():
    with pytest.raises(FeatureError, match="nodes of one brain, B01"):
        neighbours_across(np.ones((3, 2)), np.array(["B01"] * 3), np.array([0]), 1)
