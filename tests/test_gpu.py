"""Smoke tests for a GPU, some 3 minutes: `make test-gpu`. Every stage that computes there agrees with the CPU.

CYTOMESH_GPU=cpu runs them without one, to see that the tests themselves work.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cytomesh.classify.area_classifier import AreaClassifier
from cytomesh.core.config import load_config, preset
from cytomesh.core.files import read_json
from cytomesh.core.torch_facts import torch_facts
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.features import load_features
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE
from cytomesh.pretrain.run import pretrain_run
from tests.conftest import sphere_mesh

DEVICE = os.environ.get("CYTOMESH_GPU", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        "CYTOMESH_GPU" not in os.environ and not torch.cuda.is_available(), reason="no CUDA device, nor CYTOMESH_GPU"
    ),
]
SHORT = ("schedule.steps=6", "schedule.warmup_steps=1", "log_every=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_study) -> Path:
    folder = tmp_path_factory.mktemp("gpu")
    settings = load_config(BuildGraphConfig, preset("build-graph", "tiny"))
    build_graphs(small_study / "study.yaml", folder / "run", settings, workers=1)
    return folder / "run"


def train(run: Path, name: str, *overrides: str) -> dict[str, float]:
    return pretrain_run(run, name, load_config(PretrainConfig, preset("pretrain", "tiny"), [*SHORT, *overrides]))


@pytest.fixture(scope="module")
def on_cpu(run) -> dict[str, float]:
    return train(run, "cpu", "device=cpu")


@pytest.mark.skipif(DEVICE == "cpu", reason="a process of its own asks for CUDA devices")
def test_doctor_finds_that_it_computes():
    facts = torch_facts()
    assert facts["devices"] and not any(device["fault"] for device in facts["devices"])
    assert facts["nccl"] and facts["nccl_fault"] == ""


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_pretraining_in_each_precision(run, on_cpu, precision):
    summary = train(run, precision, f"device={DEVICE}", f"precision={precision}")
    assert summary["first_loss"] == pytest.approx(on_cpu["first_loss"], rel=1e-3 if precision == "float32" else 0.05)
    assert np.isfinite(summary["loss"])
    assert (run / "encoders" / precision / "model.safetensors").is_file()


def test_compiled_training(run, on_cpu):
    if DEVICE == "cpu":
        pytest.skip("minutes on a CPU")
    assert train(run, "compiled", f"device={DEVICE}", "compile=true", "precision=float32")[
        "first_loss"
    ] == pytest.approx(on_cpu["first_loss"], rel=1e-3)


def test_features_are_those_of_the_cpu(run, on_cpu):
    found = []
    for device in ("cpu", DEVICE):
        shutil.rmtree(run / "features", ignore_errors=True)
        embed_run(run, "cpu", EmbedConfig(device=device))
        found.append(np.concatenate([load_features(run, "cpu", graph) for graph in load_graphs(run)]))
    scale = np.nanstd(found[0])
    assert np.nanmax(np.abs(found[0] - found[1])) < 1e-2 * scale


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"compile": True}])
def test_features_faster(run, on_cpu, options):
    found = []
    for settings in (EmbedConfig(device=DEVICE), EmbedConfig(device=DEVICE, **options)):
        shutil.rmtree(run / "features", ignore_errors=True)
        embed_run(run, "cpu", settings)
        found.append(np.concatenate([load_features(run, "cpu", graph) for graph in load_graphs(run)]))
    linked = np.isfinite(found[0]).all(axis=1)
    one, other = (values[linked] / np.linalg.norm(values[linked], axis=1, keepdims=True) for values in found)
    assert (one * other).sum(axis=1).min() > 0.99


@pytest.mark.parametrize("kind", ["mlp", "gcn", "sage", "gat", "gatv2"])
def test_networks_learn(kind):
    mesh = sphere_mesh(3)
    labels = np.where(mesh.vertices[:, 2] > 0, 1, 2)
    inputs = np.random.default_rng(0).normal(size=(mesh.n_vertices, 6)) + 2.0 * (labels == 2)[:, None]
    training = {"epochs": 30, "learning_rate": 0.02}
    scores = []
    for device in ("cpu", DEVICE):
        model = AreaClassifier(kind, training=training, device=device).fit(inputs, labels, mesh.adjacency())
        scores.append((model.predict(inputs, mesh.adjacency()) == labels).mean())
    assert scores[1] > 0.9
    assert abs(scores[0] - scores[1]) < 0.05


def test_an_objective_and_its_gradient():
    torch.manual_seed(0)
    vectors, position = torch.randn(64, 16), 20 * torch.rand(64, 3)
    results = []
    for device in ("cpu", DEVICE):
        here = vectors.clone().to(device).requires_grad_()
        loss = SpatialNCE(3.0)(here, position=position.to(device))
        loss.backward()
        results.append((loss.item(), here.grad.cpu()))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-4)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-3, atol=1e-6)


def test_what_ran_is_recorded(run, on_cpu):
    assert read_json(run / "encoders" / "cpu" / "summary.json")["steps"] == 6
