"""Regressions from sums, beside scikit-learn fold by fold."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from cytomesh.analyze.explain import explain, location_terms
from cytomesh.core.errors import FeatureError

COMPONENTS = [1, 3, 8, 20]


@pytest.fixture
def nodes():
    """Features that know of two targets, one of them smooth over the brain."""
    random = np.random.default_rng(0)
    positions = random.normal(size=(400, 3)) * 20
    hidden = random.normal(size=(400, 5))
    hidden[:, 0] += positions[:, 0] / 10
    features = (hidden @ random.normal(size=(5, 30)) + 0.3 * random.normal(size=(400, 30)) + 7).astype(np.float32)
    smooth = positions[:, 0] + 0.2 * positions[:, 1] ** 2 / 20 + 3 * random.normal(size=400)
    targets = np.column_stack([hidden[:, 1] - 2 * hidden[:, 2] + 0.5 * random.normal(size=400), smooth])
    return features, location_terms(positions), targets, random.integers(0, 5, 400)


@pytest.mark.parametrize("alpha", [0.0, 50.0])
def test_r2_of_each_fold_is_that_of_scikit_learn(nodes, alpha):
    features, location, targets, fold = nodes
    found = explain(features, location, targets, fold, COMPONENTS, alpha)
    for f in range(5):
        train, test = fold != f, fold == f
        for k, count in enumerate(COMPONENTS):
            pca = PCA(count, svd_solver="full").fit(features[train].astype(np.float64))
            model = Ridge(alpha) if alpha else LinearRegression()
            model.fit(pca.transform(features[train]), targets[train])
            expected = r2_score(targets[test], model.predict(pca.transform(features[test])), multioutput="raw_values")
            np.testing.assert_allclose(found.r2[f, k], expected, atol=1e-6)
        alone = LinearRegression().fit(location[train], targets[train])
        expected = r2_score(targets[test], alone.predict(location[test]), multioutput="raw_values")
        np.testing.assert_allclose(found.location[f], expected, atol=1e-6)


def test_beyond_location_is_the_gain_of_the_joint_regression(nodes):
    features, location, targets, fold = nodes
    found = explain(features, location, targets, fold, [30])  # all components: the joint regression is that of features
    for f in range(5):
        train, test = fold != f, fold == f
        joint = np.hstack([features.astype(np.float64), location])
        alone = LinearRegression().fit(location[train], targets[train]).predict(location[test])
        both = LinearRegression().fit(joint[train], targets[train]).predict(joint[test])
        left = [((targets[test] - predicted) ** 2).sum(axis=0) for predicted in (alone, both)]
        np.testing.assert_allclose(found.beyond[f], 1 - left[1] / left[0], atol=1e-6)
    assert found.beyond.mean(axis=0)[0] > 0.8
    assert found.location.mean(axis=0)[1] > 0.8


def test_a_fold_where_a_target_has_one_value_has_no_score(nodes):
    features, location, targets, fold = nodes
    targets[fold == 0, 1] = 0.1  # whose mean is not 0.1 to the last digit
    found = explain(features, location, targets, fold, COMPONENTS)
    for scores in (found.r2[:, -1], found.location, found.beyond):
        np.testing.assert_array_equal(np.isnan(scores), np.outer(np.arange(5) == 0, [False, True]))
    for f in range(1, 5):
        alone = LinearRegression().fit(location[fold != f], targets[fold != f])
        expected = r2_score(targets[fold == f], alone.predict(location[fold == f]), multioutput="raw_values")
        np.testing.assert_allclose(found.location[f], expected, atol=1e-6)


def test_variance_and_importance(nodes):
    features, location, targets, fold = nodes
    found = explain(features, location, targets, fold, COMPONENTS)
    pca = PCA(20, svd_solver="full").fit(features.astype(np.float64))
    np.testing.assert_allclose(found.variance, np.cumsum(pca.explained_variance_ratio_), atol=1e-6)
    scores = pca.transform(features.astype(np.float64))
    correlation = np.abs(np.corrcoef(scores.T, targets.T)[:20, 20:])  # with one predictor in SDs, they are the same
    np.testing.assert_allclose(found.importance, correlation, atol=1e-6)


def test_features_of_few_dimensions_and_collapsed_ones_have_their_own_number_of_components(nodes):
    features, location, targets, fold = nodes
    few = explain(features[:, :4], location, targets, fold, COMPONENTS)
    np.testing.assert_array_equal(few.r2[:, 2], few.r2[:, 3])
    doubled = np.hstack([features[:, :4], features[:, :4]])  # half of the components are empty
    np.testing.assert_allclose(explain(doubled, location, targets, fold, [4, 8]).r2[:, 1], few.r2[:, 3], atol=1e-6)


def test_what_cannot_be_regressed_is_named(nodes):
    features, location, targets, fold = nodes
    with pytest.raises(FeatureError, match=r"nodes to learn from, 30 components"):
        explain(features[:50], location[:50], targets[:50], fold[:50], [64])
    with pytest.raises(FeatureError, match="target 1: found one value"):
        explain(features, location, np.column_stack([targets[:, 0], np.ones(400)]), fold, [4])
