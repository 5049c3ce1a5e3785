"""Whoever calls a stage or a library function finds the process as it was: nothing global is left changed."""

from __future__ import annotations

import importlib
import logging
import math
import multiprocessing
import os
import pkgutil
import random
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from PIL import Image
from threadpoolctl import threadpool_info

import cytomesh
from cytomesh.classify.config import ClassifyConfig
from cytomesh.classify.run import classify_run
from cytomesh.core.config import load_config, preset
from cytomesh.core.parallel import map_ordered
from cytomesh.core.random import isolated_seed
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.finetune.config import FinetuneConfig
from cytomesh.finetune.run import finetune_run
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.imaging.pyramid import open_image
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.run import parcellate_run
from cytomesh.phantom.baselines import phantom_baselines
from cytomesh.phantom.config import AreaConfig, GeometryConfig, PhantomBrainConfig, PhantomConfig, SectionConfig
from cytomesh.phantom.write import write_phantom
from cytomesh.pretrain.config import EmbedConfig, PretrainConfig
from cytomesh.pretrain.embed import embed_run
from cytomesh.pretrain.export import load_encoder
from cytomesh.pretrain.run import pretrain_run
from cytomesh.report.run import report_run
from tests.graph.conftest import write_study
from tests.pretrain.pretrain_study import write_run

# what the modules of others do when they are first imported is not ours
importlib.import_module("plotly.offline")
for module in pkgutil.walk_packages(cytomesh.__path__, "cytomesh."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)


def state() -> dict[str, Any]:
    """Return what is global in this process, as far as a library might change it."""
    return {
        "torch threads": torch.get_num_threads(),
        "threads of BLAS and OpenMP": sorted((pool["filepath"], pool["num_threads"]) for pool in threadpool_info()),
        "numba threads": numba.get_num_threads(),
        "random": random.getstate(),
        "numpy.random": [str(part) for part in np.random.get_state()],  # noqa: NPY002
        "torch random": torch.get_rng_state().tolist(),
        "torch seed": torch.initial_seed(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "precision": torch.get_float32_matmul_precision(),
        "process group": torch.distributed.is_initialized(),
        "environment": dict(os.environ),
        "Pillow's limit": Image.MAX_IMAGE_PIXELS,
        "warnings": list(warnings.filters),
        "floating point": np.geterr(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "logging": (logging.root.level, list(logging.root.handlers)),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "folder": Path.cwd(),
    }


@contextmanager
def no_trace() -> Iterator[None]:
    """Fail if what happens within changes anything global."""
    before = state()
    yield
    after = state()
    assert {name: after[name] for name in after if after[name] != before[name]} == {}


@pytest.fixture(autouse=True)
def _unusual(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of the process that no stage would choose."""
    threads = torch.get_num_threads()
    numba.get_num_threads()  # the first call starts threads, and sets OpenMP's number
    torch.set_num_threads(3)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with isolated_seed(11):
        yield
    torch.set_num_threads(threads)


def test_workers_are_limited_and_this_process_is_not():
    with no_trace():
        assert list(map_ordered(math.sqrt, [1, 4, 9], workers=2)) == [1, 2, 3]
        roots = map_sections(math.sqrt, [SectionTask(str(n), n) for n in (1, 4, 9)], doing="roots", workers=2)
        assert [root for _, root in roots] == [1, 2, 3]


def test_phantom(tmp_path):
    settings = PhantomConfig(
        name="small",
        brains=(PhantomBrainConfig(id="S01", role="train"), PhantomBrainConfig(id="S02", role="unseen")),
        geometry=GeometryConfig(transform_mm=20),
        areas=AreaConfig(count=8, pmap_mm=6, pmap_smoothing_mm=5),
        sections=SectionConfig(
            um_per_px=500, annotation_um_per_px=1000, truth_um_per_px=500, distance_um=1000, spacing_mm=25
        ),
    )
    with no_trace():
        write_phantom(tmp_path, settings, workers=1)
        phantom_baselines(tmp_path)


def test_build_graph(tmp_path):
    study = write_study(tmp_path / "study")
    settings = load_config(BuildGraphConfig, None, ["surface.voxel_mm=0.5", "surface.edge_length_mm=1.5"])
    with no_trace():
        build_graphs(study, tmp_path / "run", settings, workers=1)
    with no_trace(), open_image(tmp_path / "study" / "data" / "00.png") as image:
        image.read(0, 0, 10, 0, 10)


def test_from_pretraining_to_the_report(tmp_path):
    run = write_run(tmp_path)
    pretrain = load_config(
        PretrainConfig,
        preset("pretrain", "tiny"),
        ["device=cpu", "threads=1", "schedule.steps=4", "schedule.warmup_steps=1", "monitor.every_steps=2"],
    )
    with no_trace():
        pretrain_run(run, "encoder", pretrain)
    with no_trace():
        embed_run(run, "encoder", EmbedConfig(device="cpu"))
    with no_trace():
        load_encoder(run / "encoders" / "encoder")
    tune = ["device=cpu", "threads=1", "model.hidden=8", "sampling.seeds_per_batch=6", "schedule.rounds=1"]
    with no_trace():
        finetune_run(run, "tuned", "encoder", load_config(FinetuneConfig, preset("finetune", "tiny"), tune))
    for name in ("mlp", "gat", "neighbour_lda"):
        small = ["device=cpu", "n_seeds=1", "training.epochs=3", "inputs.names=[features:encoder]"]
        with no_trace():
            classify_run(run, name, load_config(ClassifyConfig, preset("classify", name), small))
    parcels = load_config(ParcellateConfig, preset("parcellate", "tiny"), ["encoder=encoder", "evaluation.spins=0"])
    with no_trace():
        parcellate_run(run, "parcels", parcels)
    with no_trace():
        report_run(run)
