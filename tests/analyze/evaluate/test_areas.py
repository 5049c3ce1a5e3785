"""Areas on frozen features: the numbers of `cytomesh classify`, and coordinates beside."""

import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from cytomesh.analyze.evaluate.areas import Areas, AreasConfig
from cytomesh.analyze.evaluate.run import encode
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.files import read_json

SIDES = ("seen", "transfer", "unseen")


def value(outcome, split, measure, **more):
    (score,) = [
        s
        for s in outcome.scores
        if (s.split, s.measure) == (split, measure) and all(getattr(s, key) == own for key, own in more.items())
    ]
    return score.value


def test_scores_of_the_linear_probe_are_those_of_classify(bench, four_brains, tmp_path):
    run = shutil.copytree(four_brains, tmp_path / "run")
    stage = bench()
    outcome = Areas(AreasConfig()).score(stage, encode(stage, "good"))
    given = {"inputs": {"names": ["features:good"]}, "model": {"kind": "logistic", "strength": 0.1}, "n_seeds": 1}
    classify_run(run, "linear", ClassifyConfig.model_validate(given))
    record = read_json(run / "classify" / "linear" / "metrics.json")["splits"]
    for side in SIDES:
        for measure in ("macro_f1", "top3", "ece", "error_hops"):
            assert value(outcome, side, measure) == pytest.approx(record[side]["mean"][measure], abs=1e-6)
        ensemble = record[side]["ensemble"]
        assert value(outcome, side, "macro_f1_low") == pytest.approx(ensemble["interval"]["low"], abs=1e-6)
        for hop, share in ensemble["error_distance"].items():
            assert value(outcome, side, "error_share", level=float(hop)) == pytest.approx(share, abs=1e-6)
            assert value(outcome, side, "margin", level=float(hop)) == pytest.approx(ensemble["margin"][hop], abs=1e-3)


def test_coordinates_are_the_nearest_annotated_nodes(bench):
    stage = bench()
    outcome = Areas(AreasConfig()).score(stage, encode(stage, "coordinates"))
    sides, places = stage.sides(stage.annotation), encode(stage, "coordinates").features
    train, test = sides == "train", sides == "unseen"
    scaled = (places - places[train].mean(axis=0)) / places[train].std(axis=0)
    nearest = KNeighborsClassifier(15).fit(scaled[train], stage.annotation[train]).predict(scaled[test])
    expected = f1_score(stage.annotation[test], nearest, average="macro")
    assert value(outcome, "unseen", "macro_f1") == pytest.approx(expected, abs=0.02)  # ties of votes
    assert value(outcome, "unseen", "macro_f1") > 0.9


def test_an_area_without_training_nodes_is_left_out_and_said(bench):
    stage = bench()
    sections = np.concatenate([graph.section_role for graph in stage.graphs])
    stage.annotation[(stage.annotation == 3) & (sections == "train")] = 0
    outcome = Areas(AreasConfig()).score(stage, encode(stage, "good"))
    truth = outcome.named["areas", "seen"].truth
    assert len(np.unique(truth)) == 5
    assert any("areas without training nodes are left out of the scores: A03" in note for note in outcome.notes)
