"""Scores against counts by eye, scikit-learn and scikit-image."""

import numpy as np
import pytest
from skimage.metrics import hausdorff_distance
from sklearn.metrics import f1_score, jaccard_score

from cytomesh.analyze.layers.scores import boundary_scores, layer_scores, thickness_scores
from cytomesh.core.errors import FeatureError


def test_overlap_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(-1, 8, 500), random.integers(0, 8, 500)
    found = layer_scores(truth, predicted)
    known = truth >= 0
    given = {"labels": range(8), "average": None}
    np.testing.assert_allclose(found["f1"], f1_score(truth[known], predicted[known], **given))
    np.testing.assert_allclose(found["jaccard"], jaccard_score(truth[known], predicted[known], **given))
    assert found["macro_f1"] == pytest.approx(found["f1"][1:7].mean())


def test_a_layer_that_is_nowhere_does_not_count():
    found = layer_scores(np.array([1, 2, 2]), np.array([1, 2, 2]))
    assert np.isnan(found["f1"][4]) and found["macro_f1"] == 1.0


@pytest.mark.parametrize(
    ("truth", "predicted", "said"),
    [
        ([1, 2, 2], [1, -1, 2], "predicted: found int64 from -1 to 2"),  # would count for layer 1 and class 7
        ([1, 9, 2], [1, 2, 2], "truth: found int64 from 1 to 9, expected integers from -1 to 7"),
        ([1, 2, 2], [1.0, 2.0, 2.5], "predicted: found float64"),
        ([1, 2, 2], [1, 2], r"shapes \(3,\) and \(2,\)"),
    ],
)
def test_what_are_no_segmentations_is_refused(truth, predicted, said):
    with pytest.raises(FeatureError, match=said):
        layer_scores(np.array(truth), np.array(predicted))


def test_boundaries_moved_by_a_known_distance():
    x = np.linspace(0, 1000, 400)
    truth = np.stack([np.stack([x, np.full_like(x, y)], axis=1) for y in (100.0, 300.0)], axis=1)
    mean, hausdorff = boundary_scores(truth, truth + np.array([0.0, 30.0]))
    np.testing.assert_allclose(mean, [30, 30])
    np.testing.assert_allclose(hausdorff, [30, 30], rtol=1e-6)
    assert np.isnan(boundary_scores(truth[:0], truth[:0])[0]).all()


def test_hausdorff_leaves_the_worst_twentieth_out():
    grid = np.zeros((60, 60), bool)
    x = np.arange(50)
    truth = np.stack([x, np.full(50, 20)], axis=1)[:, None].astype(float)
    predicted = truth.copy()
    predicted[0, 0, 1] += 15  # one in fifty
    images = []
    for line in (truth, predicted):
        image = grid.copy()
        image[tuple(line[:, 0].astype(int).T)] = True
        images.append(image)
    assert boundary_scores(truth, predicted)[1][0] < 1.01
    assert hausdorff_distance(*images) == pytest.approx(15)
    predicted[:5, 0, 1] = 35  # a tenth
    assert boundary_scores(truth, predicted)[1][0] == pytest.approx(15, abs=0.5)


def test_thickness_is_scored_where_both_are_known():
    truth = np.tile(np.linspace(0.1, 0.6, 6), (9, 1)) + 0.01 * np.arange(9)[:, None]
    found = truth + 0.02
    found[0] = np.nan
    scores = thickness_scores(truth, found)
    np.testing.assert_allclose(scores["error_mm"], 0.02)
    np.testing.assert_allclose(scores["bias_mm"], 0.02)
    np.testing.assert_allclose(scores["r"], 1.0)
    assert np.isnan(thickness_scores(truth[:1], truth[:1])["r"]).all()
