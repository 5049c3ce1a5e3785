"""Which model is taken where none is named."""

import shutil

import numpy as np
import pytest
import torch

from cytomesh.classify import models
from cytomesh.classify.assemble import assemble
from cytomesh.classify.choice import with_candidate
from cytomesh.classify.config import Candidate, ClassifyConfig, PredictConfig
from cytomesh.classify.models import fit_classifier
from cytomesh.classify.predict import predict_run
from cytomesh.classify.run import classify_run
from cytomesh.core.config import validate
from cytomesh.core.errors import ConfigError
from cytomesh.core.files import read_json
from cytomesh.core.learning import macro_f1
from cytomesh.graph.storage import load_graphs

KNN, LDA = ({"model": {"kind": "knn", "neighbours": 1}}, {"model": {"kind": "lda"}, "hops": [0, 2, 4]})


def settings_of(**given):
    return validate(ClassifyConfig, {"candidates": [KNN, LDA], **given}, "test", ConfigError)


def by_hand(run, settings, candidate):
    """Macro-F1 on the validation nodes of a candidate, step by step."""
    graphs = load_graphs(run)
    own = with_candidate(settings, candidate)
    data, *_ = assemble(run, graphs, [graph.annotation for graph in graphs], own)
    model, _ = fit_classifier(own, data, own.seed, torch.device("cpu"))
    rows = data.is_validation & (data.targets >= 0)
    return macro_f1(data.targets[rows], model.probabilities(data)[rows].argmax(axis=1)), int(rows.sum())


@pytest.fixture
def run(section_run, tmp_path):
    return shutil.copytree(section_run, tmp_path / "run")


def test_the_best_on_validation_nodes_is_taken_and_said(run):
    settings = settings_of()
    classify_run(run, "areas", settings)
    folder = run / "classify" / "areas"
    metrics = read_json(folder / "metrics.json")
    expected = [by_hand(run, settings, candidate) for candidate in settings.candidates]
    assert [(record["macro_f1"], record["nodes"]) for record in metrics["candidates"]] == expected
    best = int(np.argmax([score for score, _ in expected]))
    assert metrics["model"] == ("knn", "lda")[best] == "lda"
    assert metrics["notes"][0].startswith("lda chosen by macro-F1 on ")
    chosen = read_json(folder / "model.json")["settings"]
    assert (chosen["model"]["kind"], chosen["inputs"]["hops"]) == ("lda", [0, 2, 4])
    assert not (folder / "candidates").exists()
    named = classify_run(run, "named", settings_of(model=LDA["model"], inputs={"hops": [0, 2, 4]}))
    assert named["macro_f1_seen"] == metrics["splits"]["seen"]["mean"]["macro_f1"]
    predict_run(run, folder, "predicted", PredictConfig(outlines=False))


def test_a_named_model_is_compared_with_nothing(run):
    classify_run(run, "areas", settings_of(model={"kind": "knn"}))
    metrics = read_json(run / "classify" / "areas" / "metrics.json")
    assert "candidates" not in metrics
    assert not any("chosen" in note for note in metrics["notes"])


def test_without_validation_nodes_blocks_of_the_training_side_decide(hemisphere_run, tmp_path):
    run = shutil.copytree(hemisphere_run, tmp_path / "run")
    split = {"kind": "hemisphere", "validation": 0}
    classify_run(run, "areas", settings_of(split=split))
    metrics = read_json(run / "classify" / "areas" / "metrics.json")
    nodes = metrics["candidates"][0]["nodes"]
    assert 0.1 * metrics["n_train"] < nodes < 0.3 * metrics["n_train"]
    assert metrics["n_validation"] == 0, "the chosen model learns from all training nodes"


def test_what_a_candidate_has_learnt_is_not_learnt_again(run, hemisphere_run, tmp_path, monkeypatch):
    fitted, fit = [], models.fit_classifier
    monkeypatch.setattr(models, "fit_classifier", lambda *given: fitted.append(1) or fit(*given))
    classify_run(run, "areas", settings_of())
    assert len(fitted) == 2
    whole = shutil.copytree(hemisphere_run, tmp_path / "whole")
    classify_run(whole, "areas", settings_of(split={"kind": "hemisphere", "validation": 0}))
    assert len(fitted) == 2 + 3, "blocks were held out: the best learns again, from all"


def test_candidates_have_hops_in_their_order():
    assert Candidate.model_validate(LDA).hops == [0, 2, 4]
    with pytest.raises(ConfigError, match="hops"):
        settings_of(candidates=[{**LDA, "hops": [2, 0]}])
    with pytest.raises(ConfigError, match="candidates"):
        settings_of(candidates=[])
