"""Scores on held-out nodes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pretrain_study import write_run

from cytomesh.core.distributed import world
from cytomesh.core.errors import ConfigError
from cytomesh.core.learning import macro_f1
from cytomesh.core.run import read_study_path
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain import encode
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export import build_encoder
from cytomesh.pretrain.patches import SectionReader
from cytomesh.pretrain.pool import build_pool
from cytomesh.pretrain.probe import Probe, knn, linear
from cytomesh.study.study import open_study


def test_knn_equals_the_loops():
    rng = np.random.default_rng(0)
    train, labels = rng.normal(size=(30, 4)), rng.integers(1, 4, 30)
    features = rng.normal(size=(9, 4))
    predicted = knn(train, labels, features, 7)
    for i, feature in enumerate(features):
        cosine = [float(feature @ t / np.linalg.norm(feature) / np.linalg.norm(t)) for t in train]
        votes = dict.fromkeys((1, 2, 3), 0.0)
        for j in sorted(range(30), key=lambda j: -cosine[j])[:7]:
            votes[labels[j]] += math.exp(cosine[j] / 0.07)
        assert predicted[i] == max(votes, key=votes.get)


def test_linear_names_separable_areas():
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 8, 9], [50, 10, 20])
    centres = rng.normal(size=(10, 5)) * 5
    features = centres[labels] + rng.normal(size=(80, 5))
    assert macro_f1(labels, linear(features, labels, features)) > 0.95


def test_macro_f1_counts_every_area_the_same():
    truth = np.array([1, 1, 1, 1, 2])
    assert macro_f1(truth, np.ones(5, int)) == pytest.approx((2 * 0.8 / 1.8 + 0.0) / 2)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("probe"))
    study = open_study(read_study_path(run))
    return study, load_graphs(run)


SETTINGS = {
    "encoder": {"name": "test_resnet", "in_chans": 1},
    "patches": {"size_px": 32, "um_per_px": 125.0, "border_px": 2},
    "monitor": {"every_steps": 1, "n_nodes": 30},
    "schedule": {"steps": 1, "warmup_steps": 0},
}


def test_scores_are_of_validation_sections_and_of_the_given_weights(opened, monkeypatch):
    settings = PretrainConfig.model_validate(SETTINGS)
    pool = build_pool(*opened, ("train", "transfer"))
    assert not (pool.annotation.astype(bool) & pool.held_out.astype(bool)).any()
    encoder = build_encoder(settings)
    with world("cpu", threads=1) as here:
        probe = Probe(pool, SectionReader(pool, settings.patches), settings, here)
        assert len(probe.rows[0]) == 30
        assert (pool.held_out[probe.rows[1]] == probe.labels[1]).all()
        scores = probe.scores(encoder, dict(encoder.state_dict()))
        assert encoder.training
        assert set(scores) == {"knn", "linear"}
        assert all(0 <= value <= 1 for value in scores.values())
        constant = {name: torch.zeros_like(value) for name, value in encoder.state_dict().items()}
        blind = probe.scores(encoder, constant)
        monkeypatch.setitem(encode.BATCH_PX, "cpu", 7 * 32**2)
        sizes = []
        encoder.register_forward_pre_hook(lambda _, images: sizes.append(tuple(images[0].shape)))
        assert probe.scores(encoder, dict(encoder.state_dict())) == pytest.approx(scores, abs=0.1)
        assert sorted(set(sizes)) == [(2, 1, 32, 32), (7, 1, 32, 32)]  # 30 training and 30 held-out patches
    n_areas = len(np.unique(probe.labels[1]))
    assert blind["linear"] <= 1 / n_areas  # one area for all
    assert scores != blind


def test_no_validation_section_is_one_clear_error(opened):
    settings = PretrainConfig.model_validate(SETTINGS)
    pool = build_pool(*opened, ("train",))
    pool.held_out[:] = 0
    with world("cpu", threads=1) as here, pytest.raises(ConfigError, match="no annotated val section"):
        Probe(pool, SectionReader(pool, settings.patches), settings, here)
