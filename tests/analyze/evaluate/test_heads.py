"""Heads: how often they are trained, and that of the protocol's settings."""

import numpy as np

from cytomesh.analyze.evaluate.heads import fitted, seeds
from cytomesh.analyze.evaluate.run import encode
from cytomesh.classify.area_classifier import AreaClassifier


def test_a_head_with_chance_in_it_is_trained_once_a_seed(bench):
    drawn = bench(head={"kind": "mlp"}, n_seeds=2, seed=5)
    assert seeds(drawn, encode(drawn, "good")) == [5, 6]
    assert seeds(drawn, encode(drawn, "coordinates")) == [5]
    solved = bench(n_seeds=2)
    assert seeds(solved, encode(solved, "good")) == [0]


def test_a_head_is_the_classifier_that_the_settings_name(bench):
    stage = bench(head={"kind": "lda", "shrinkage": 0.5})
    encoded, train = encode(stage, "good"), stage.sides(stage.annotation) == "train"
    found = fitted(encoded, stage.annotation, train, 0).predict_proba(encoded.features[train])
    known = AreaClassifier("lda", shrinkage=0.5).fit(encoded.features[train], stage.annotation[train])
    np.testing.assert_array_equal(found, known.predict_proba(encoded.features[train]))
