"""Probes for the brain, the section and a column, beside heads fold by fold."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from cytomesh.analyze.evaluate.probes import Probes, ProbesConfig
from cytomesh.analyze.evaluate.run import encode
from cytomesh.analyze.folds import FoldsConfig, make_folds
from cytomesh.core.errors import ConfigError


def mean(outcome, target, measure):
    return np.mean([s.value for s in outcome.scores if (s.target, s.measure) == (target, measure)])


def test_the_brain_is_told_on_sections_that_were_left_out(bench):
    stage = bench()
    encoded = encode(stage, "good")
    outcome = Probes(ProbesConfig(of=["brain"], n_folds=2)).score(stage, encoded)
    fold = make_folds(stage.graphs, FoldsConfig(kind="section", n=2), 0)
    hits, guesses = [], []
    for f in range(2):
        train, test = (stage.is_linked & (fold == g) for g in (1 - f, f))
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.05, priors=[0.25] * 4)
        scaled = (encoded.features - encoded.features[train].mean(axis=0)) / encoded.features[train].std(axis=0)
        model.fit(scaled[train], stage.brains[train])
        hits.append((model.predict(scaled[test]) == stage.brains[test]).mean())
        shares = (np.unique(stage.brains[rows], return_counts=True)[1] / rows.sum() for rows in (train, test))
        guesses.append(np.prod(np.array(list(shares)), axis=0).sum())
    found = [s.value for s in outcome.scores if s.measure == "accuracy"]
    np.testing.assert_allclose(found, hits, atol=0.02)
    assert min(found) > 0.8
    np.testing.assert_allclose([s.value for s in outcome.scores if s.measure == "chance"], guesses)


def test_features_that_do_not_know_the_section_are_at_chance(bench):
    stage = bench()
    outcome = Probes(ProbesConfig(of=["section"], n_folds=2)).score(stage, encode(stage, "poor"))
    assert {s.split for s in outcome.scores} == {"left-out blocks"}
    assert mean(outcome, "section", "accuracy") < 0.35
    place = Probes(ProbesConfig(of=["section"])).score(stage, encode(stage, "coordinates"))
    assert mean(place, "section", "accuracy") > mean(outcome, "section", "accuracy")


def test_columns_are_probed_and_what_has_one_answer_is_said(bench):
    stage = bench()
    outcome = Probes(ProbesConfig(of=["stain", "link_reason"], n_folds=3)).score(stage, encode(stage, "good"))
    assert mean(outcome, "stain", "accuracy") == pytest.approx(0.5, abs=0.2)
    assert outcome.notes == ("probes: link_reason: one answer for all nodes of the run, left out",)
    with pytest.raises(ConfigError, match="did you mean 'stain'"):
        Probes(ProbesConfig(of=["stian"])).score(stage, encode(stage, "good"))
    with pytest.raises(ConfigError, match="of words or whole numbers"):
        Probes(ProbesConfig(of=["thickness_mm"])).score(stage, encode(stage, "good"))
