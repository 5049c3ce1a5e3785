"""Silhouettes beside scikit-learn's, and a probe that is not told what it is asked."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, silhouette_samples
from sklearn.preprocessing import StandardScaler

from cytomesh.analyze.inspect import separation as module
from cytomesh.analyze.inspect.separation import cosine_silhouettes, probe_accuracy, separation
from cytomesh.core.errors import FeatureError


@pytest.fixture
def clusters():
    """Three groups in five dimensions, the last of a single node."""
    random = np.random.default_rng(0)
    groups = np.array(["a"] * 30 + ["b"] * 29 + ["c"])
    centres = {"a": 0.0, "b": 1.0, "c": -1.0}
    features = random.normal(size=(60, 5)) + np.array([[centres[g]] for g in groups])
    return features, groups, np.arange(60) % 4


def test_silhouettes_are_scikit_learns(clusters, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_ROWS", 11)
    features, groups, _ = clusters
    expected = silhouette_samples(features, groups, metric="cosine")
    np.testing.assert_allclose(cosine_silhouettes(features, groups), expected, atol=1e-12)
    assert cosine_silhouettes(features, groups)[-1] == 0


def test_the_probe_is_scored_on_what_it_has_not_learnt_from(clusters):
    features, groups, fold = clusters
    features, groups, fold = features[:-1], groups[:-1], fold[:-1]
    predicted = np.empty_like(groups)
    for f in range(4):
        scale = StandardScaler().fit(features[fold != f])
        model = RidgeClassifier(alpha=10.0, class_weight="balanced")
        model.fit(scale.transform(features[fold != f]), groups[fold != f])
        predicted[fold == f] = model.predict(scale.transform(features[fold == f]))
    expected = balanced_accuracy_score(groups, predicted)
    assert probe_accuracy(features, groups, fold) == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_what_only_the_fold_knows_is_not_learnt():
    random = np.random.default_rng(1)
    fold = np.repeat(np.arange(4), 50)
    groups = random.integers(0, 2, 200)
    by_fold = random.normal(size=(4, 2, 6))
    features = by_fold[fold, groups] + 0.1 * random.normal(size=(200, 6))
    assert probe_accuracy(features, groups, random.permutation(fold)) > 0.75
    assert probe_accuracy(features, groups, fold) < 0.75


def test_all_of_it_in_one(clusters):
    found = separation(*clusters)
    assert found.chance == pytest.approx(1 / 3)
    assert found.silhouette == pytest.approx(found.silhouettes.mean())


def test_one_group_is_refused(clusters):
    features, groups, fold = clusters
    with pytest.raises(FeatureError, match="found one group, a, expected two"):
        separation(features[:30], groups[:30], fold[:30])
    with pytest.raises(FeatureError, match="no node"):
        cosine_silhouettes(features[:0], groups[:0])
    with pytest.raises(FeatureError, match="fewer than two groups to learn from"):
        probe_accuracy(features[:40], groups[:40], (groups[:40] == "b").astype(int))
