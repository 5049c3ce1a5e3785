"""Doubt about areas that were not learnt, beside the definition of the area under the curve."""

import numpy as np
import pytest

from cytomesh.analyze.evaluate.rejection import Rejection, RejectionConfig
from cytomesh.analyze.evaluate.run import encode
from cytomesh.classify.area_classifier import AreaClassifier
from cytomesh.core.random import generator


def test_auroc_is_the_share_of_pairs_in_the_right_order(bench):
    stage = bench(n_seeds=1)
    encoded = encode(stage, "good")
    outcome = Rejection(RejectionConfig(share=0.3)).score(stage, encoded)
    left = generator(0, "left-out areas", 0).choice(np.arange(1, 7, dtype=np.int32), 2, replace=False)
    is_left, sides = np.isin(stage.annotation, left), stage.sides(stage.annotation)
    train, test = (sides == "train") & ~is_left, sides == "seen"
    head = AreaClassifier("logistic", strength=0.1).fit(encoded.features[train], stage.annotation[train])
    doubt = 1 - head.predict_proba(encoded.features[test]).max(axis=1)
    unknown, known = doubt[is_left[test]][:, None], doubt[~is_left[test]][None]
    expected = (unknown > known).mean() + 0.5 * (unknown == known).mean()
    (found,) = [s.value for s in outcome.scores if s.split == "seen"]
    assert found == pytest.approx(expected, abs=1e-6)
    poor = Rejection(RejectionConfig(share=0.3)).score(stage, encode(stage, "poor"))
    assert found > max(s.value for s in poor.scores if s.split == "seen")


def test_too_few_areas_to_leave_one_out_are_said(bench):
    stage = bench()
    stage.annotation[stage.annotation > 2] = 0
    assert "none can be left out" in Rejection(RejectionConfig()).why_absent(stage)
