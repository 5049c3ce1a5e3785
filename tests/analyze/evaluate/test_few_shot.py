"""Curves over annotated sections, beside draws by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from cytomesh.analyze.evaluate.few_shot import FewShot, FewShotConfig
from cytomesh.analyze.evaluate.run import encode
from cytomesh.classify.area_classifier import AreaClassifier
from cytomesh.core.random import generator


def test_draws_are_nested_and_all_are_scored_over_the_same_areas(bench):
    stage = bench(n_seeds=2)
    outcome = FewShot(FewShotConfig(sections=[1, 3])).score(stage, encode(stage, "good"))
    features, labels = encode(stage, "good").features, stage.annotation
    brain = np.array([int(name[1:]) for name in stage.brains])
    section = np.concatenate([graph.section for graph in stage.graphs])
    role = np.concatenate([graph.section_role for graph in stage.graphs])
    is_train = (brain <= 2) & (role == "train") & (labels > 0)
    test = (brain == 4) & (labels > 0)
    assert len(outcome.scores) == 2 * 2 * 2 * 3  # draws, steps, measures, sides
    for repeat in range(2):
        order = generator(0, "few-shot", repeat).permutation(np.unique(stage.sections[is_train]))
        drawn = {n: is_train & np.isin(stage.sections, order[:n]) for n in (1, 3)}
        assert not (drawn[1] & ~drawn[3]).any()
        assert len(set(zip(brain[drawn[3]], section[drawn[3]], strict=True))) == 3
        for n, rows in drawn.items():
            head = AreaClassifier("logistic", strength=0.1).fit(features[rows], labels[rows])
            predicted = head.predict(features[test])
            expected = f1_score(labels[test], predicted, average="macro", labels=np.unique(labels[test]))
            of = [s for s in outcome.scores if (s.split, s.level, s.repeat) == ("unseen", n, repeat)]
            found = {s.measure: s.value for s in of}
            assert found["macro_f1"] == pytest.approx(expected, abs=1e-6)
            assert found["areas_shown"] == pytest.approx(len(np.unique(labels[rows])) / 6)


def test_a_section_with_one_area_calls_every_node_that(bench):
    stage = bench(n_seeds=1)
    stage.annotation[stage.annotation > 1] = 2
    order = generator(0, "few-shot", 0).permutation(np.unique(stage.sections[stage.sides(stage.annotation) == "train"]))
    stage.annotation[stage.sections == order[0]] = 1
    stage.annotation[~stage.is_linked] = 0
    outcome = FewShot(FewShotConfig(sections=[1])).score(stage, encode(stage, "good"))
    found = {(s.split, s.measure): s.value for s in outcome.scores}
    truth = stage.annotation[(stage.brains == "B04") & (stage.annotation > 0)]
    assert found["unseen", "areas_shown"] == 0.5
    assert found["unseen", "macro_f1"] == pytest.approx(f1_score(truth, np.ones_like(truth), average="macro"))


def test_more_sections_than_there_are_are_said(bench):
    stage = bench()
    task = FewShot(FewShotConfig(sections=[2, 500]))
    outcome = task.score(stage, encode(stage, "good"))
    assert {s.level for s in outcome.scores} == {2}
    assert outcome.notes == ("few_shot: no draws of 500 sections, 16 training sections are annotated",)
    why = FewShot(FewShotConfig(sections=[500])).why_absent(stage)
    assert why == "16 annotated training sections, fewer than the first step of 500"
