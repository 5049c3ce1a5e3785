"""Layers in order: against all sequences, and what is made of them."""

import itertools

import numpy as np
import pytest

from cytomesh.analyze.layers.order import LEAST, boundary_depths, layer_shares, order_layers, smooth_along
from cytomesh.core.errors import FeatureError


def best_by_trying(probabilities):
    """Every sequence that never goes back, one after the other."""
    gain = np.log(np.maximum(probabilities, LEAST))
    k, n_layers = gain.shape
    sequences = itertools.combinations_with_replacement(range(n_layers), k)
    return max(sum(gain[depth, layer] for depth, layer in enumerate(sequence)) for sequence in sequences)


def test_the_best_sequence_is_found():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(4, 0.5), size=(30, 7))
    found = order_layers(probabilities)
    assert (np.diff(found, axis=1) >= 0).all()
    gain = np.log(np.maximum(probabilities, LEAST))
    scores = np.take_along_axis(gain, found[..., None].astype(int), axis=2).sum(axis=(1, 2))
    np.testing.assert_allclose(scores, [best_by_trying(one) for one in probabilities])


def test_no_layer_comes_back_and_one_may_be_missing():
    sure = np.eye(6)[[0, 1, 2, 4, 2, 4, 5]] * 0.9 + 0.01
    assert order_layers(sure[None]).tolist() in ([[0, 1, 2, 2, 2, 4, 5]], [[0, 1, 2, 4, 4, 4, 5]])
    boundaries = boundary_depths(np.array([[0, 1, 2, 2, 2, 4, 5]]), 6)
    np.testing.assert_allclose(boundaries[0], np.array([1, 2, 5, 5, 6]) / 7)
    np.testing.assert_allclose(layer_shares(boundaries)[0], np.array([1, 1, 3, 0, 1, 1]) / 7)


def test_what_are_no_probabilities_is_refused():
    for wrong in (np.full((2, 3, 4), np.nan), np.full((2, 3, 4), -1.0), np.full((2, 3, 4), np.inf)):
        with pytest.raises(FeatureError, match="expected probabilities"):
            order_layers(wrong)
    with pytest.raises(FeatureError, match=r"shape \(3, 4\)"):
        order_layers(np.ones((3, 4)))


def test_scale_does_not_matter():
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), size=(5, 6))
    np.testing.assert_array_equal(order_layers(probabilities), order_layers(0.3 * probabilities))


@pytest.mark.parametrize("is_closed", [False, True])
def test_smoothing_stays_on_its_line(is_closed):
    values = np.zeros((10, 2, 3), np.float32)
    values[0] = 1.0
    lines = np.repeat([0, 1], 5)
    smooth = smooth_along(values, lines, np.full(10, is_closed), 1.0)
    assert (smooth[5:] == 0).all()
    assert smooth[1, 0, 0] > 0.1
    assert (smooth[4, 0, 0] > 0.1) == is_closed
    np.testing.assert_array_equal(smooth_along(values, lines, np.full(10, is_closed), 0.0), values)
