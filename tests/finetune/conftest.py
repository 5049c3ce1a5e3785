"""A run on three small spherical brains with textured sections, and an encoder to begin with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cytomesh.classify.networks import make_network
from cytomesh.core.config import load_config
from cytomesh.core.run import read_study_path
from cytomesh.finetune.config import FinetuneConfig
from cytomesh.finetune.model import JointModel
from cytomesh.finetune.nodes import involved_graphs, training_nodes
from cytomesh.finetune.run import open_pretrained
from cytomesh.finetune.trainer import JointTrainer
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.patches import SectionReader
from cytomesh.pretrain.pool import build_pool
from cytomesh.pretrain.run import pretrain_run
from cytomesh.study.study import open_study
from tests.pretrain.pretrain_study import write_run

CONFIGS = Path(__file__).parents[2] / "configs"
START = "start"


@pytest.fixture
def settings() -> Callable[..., FinetuneConfig]:
    """Settings of tests: `settings("model.layers=1")`."""
    return small_settings


def small_settings(*overrides: str) -> FinetuneConfig:
    small = ["device=cpu", "threads=1", "model.hidden=8", "sampling.seeds_per_batch=6", *overrides]
    return load_config(FinetuneConfig, CONFIGS / "finetune" / "tiny.yaml", small)


@pytest.fixture(scope="session")
def start_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graphs, images and an encoder as it begins; read only."""
    run = write_run(tmp_path_factory.mktemp("finetune"))
    overrides = ["device=cpu", "threads=1", "schedule.steps=0", "schedule.warmup_steps=0", "patches.size_px=32"]
    pretrain_run(run, START, load_config(PretrainConfig, CONFIGS / "pretrain" / "tiny.yaml", overrides))
    return run


@pytest.fixture
def run(start_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(start_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def make_trainer(start_run: Path, tmp_path: Path) -> Callable[..., JointTrainer]:
    """Build a trainer without any training done: `make_trainer("model.layers=1")`."""

    def make(*overrides: str) -> JointTrainer:
        chosen = small_settings(*overrides)
        encoder, pretrained = open_pretrained(start_run / "encoders" / START)
        graphs = [graph for graph in load_graphs(start_run) if graph.brain_role != "unseen"]
        nodes = training_nodes(involved_graphs(graphs, chosen.split, chosen.seed), graphs)
        pool = build_pool(open_study(read_study_path(start_run)), graphs, ("train", "transfer"))
        torch.manual_seed(0)
        model = JointModel(encoder, make_network(chosen.model, encoder.dim, len(nodes.classes)))
        return JointTrainer(chosen, pretrained, model, nodes, SectionReader(pool, pretrained.patches), tmp_path, "key")

    return make
