"""Every line that computes on a CUDA device, without one: forward passes only (see `fake_gpu`)."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.batches import make_batches
from cytomesh.classify.layers import AttentionModel, ConvolutionModel
from cytomesh.classify.losses import CrossEntropy, CrossEntropyConfig, NodeLoss
from cytomesh.classify.networks import MlpModel, make_network
from cytomesh.classify.nodes import NodeData
from cytomesh.classify.training import NeuralClassifier, TrainingConfig
from cytomesh.core.distributed import World
from cytomesh.graph.geodesics import local_geodesics
from cytomesh.pretrain import feed
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encode import batch_slices, computing_threads
from cytomesh.pretrain.export import build_encoder
from cytomesh.pretrain.feed import copied_ahead, tensors_of
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.projector import ProjectionHead, Projector
from cytomesh.pretrain.sampling import PatchSampler
from cytomesh.pretrain.trainer import Trainer
from tests.conftest import sphere_mesh
from tests.fake_gpu import CUDA, Copies, fake_gpu, onto_gpu

SURFACE = sphere_mesh(2, 20.0)
WIDTHS = {"sigma_mm": 3.0, "reach_mm": 9.0}
OBJECTIVES = {
    "spatial": {"spatial_nce": {"same_section_weight": 0.5, "same_brain_weight": 0.7, "normal_factor": 2.0, **WIDTHS}},
    "geodesic": {"spatial_nce": {"distance": "geodesic", **WIDTHS}},
    "labels": {"supervised": {}, "supervised_contrastive": {}},
    "views": {"probability_guided": {}, "simclr": {}},
}
AUGMENT = {"rotation_deg": 20, "blur_px": 1.5, "erase": 0.5, "gamma": 0.2, "intensity_scale": 0.1}


class Noise:
    """A patch source."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (len(rows), 3, 40, 40), np.uint8)


def sphere_pool() -> PatchPool:
    rng = np.random.default_rng(0)
    n = SURFACE.n_vertices
    section = ((SURFACE.vertices[:, 1] + 20) // 4).astype(np.int64)
    area, brain = rng.integers(0, 4, n), rng.integers(0, 2, n)
    maps = sp.csr_matrix(rng.random((n, 4)).astype(np.float32))
    vertex, none = np.arange(n), np.zeros(n, np.int64)
    places = SURFACE.vertices, SURFACE.vertex_normals, none > 0, vertex, np.ones(n)
    return PatchPool(*places, section + 20 * brain, brain, area, none, maps, ())


def trainer_on_cpu(tmp_path: Path, objectives: dict, parts: int) -> Trainer:
    """A trainer of a network for grey images on RGB patches."""
    config = PretrainConfig.model_validate(
        {
            "encoder": {"name": "test_resnet", "in_chans": 1},
            "patches": {"size_px": 32, "border_px": 4},
            "objectives": objectives,
            "views": 2,
            "augment": AUGMENT,
            "sampling": {"seeds_per_batch": 6, "neighbours": 1, "radius_mm": 6.0},
            "schedule": {"steps": 8, "warmup_steps": 0, "ema_decay": 0.9, "parts": parts},
            "precision": "float32",
            "log_every": 4,
        }
    )
    encoder = build_encoder(config)
    pool = sphere_pool()
    projector = Projector(encoder, ProjectionHead(encoder.dim, config.head), nn.Linear(encoder.dim, len(pool.areas)))
    sampler = PatchSampler(pool, config.sampling, 0, local_geodesics(SURFACE, 9.0, threads=1))
    return Trainer(config, projector, sampler, Noise(), World(0, 1, torch.device("cpu")), tmp_path, "key")


@pytest.mark.parametrize(("objectives", "parts"), [("spatial", 1), ("geodesic", 2), ("labels", 2), ("views", 1)])
def test_a_training_step_neither_waits_nor_copies(tmp_path, monkeypatch, objectives, parts):
    """Any number read from the device would fail here, as would tensors that were left on the CPU."""
    real = trainer_on_cpu(tmp_path, OBJECTIVES[objectives], parts)
    batches = [real.feed.read(step) for step in range(4)]
    with fake_gpu() as mode:
        onto_gpu(mode, real.projector)
        here = World(0, 1, CUDA)
        trainer = Trainer(real.settings, real.projector, real.feed.sampler, Noise(), here, tmp_path, "key")
        report = trainer.open_report()
        there = [batch.to(CUDA) for batch in batches]

        def backward(*_: object, **__: object) -> None:  # needs a driver
            for parameter in trainer.projector.parameters():
                parameter.grad = torch.empty_like(parameter)

        monkeypatch.setattr(Tensor, "backward", backward)
        monkeypatch.setattr(torch.autograd, "backward", backward)
        trainer.train_step(there[0], report)  # what is kept on the device is brought there
        with Copies() as copies:
            for batch in there[1:3]:
                trainer.train_step(batch, report)
        assert copies.n == 0
        with pytest.raises(DataDependentOutputException):  # a line is due
            trainer.train_step(there[3], report)
    report.close()


class Stream:
    """Notes what is done with it, for there is no driver."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.waited_for: list[object] = []

    def record_event(self) -> object:
        return object()

    def wait_event(self, event: object) -> None:
        self.waited_for.append(event)


def test_batches_are_copied_ahead_and_waited_for(tmp_path, monkeypatch):
    real = trainer_on_cpu(tmp_path, OBJECTIVES["spatial"], 1)
    main, held = Stream(CUDA), []
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    # without threads: the mode is not made for several
    monkeypatch.setattr(feed, "map_ahead", lambda function, items, _: (function(item) for item in items))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: main)
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: held.append((tensor.device, stream)))
    batches = [real.feed.read(step) for step in range(3)]
    with fake_gpu() as mode:
        fake = [without_values(mode, batch) for batch in batches]
        copied = list(copied_ahead(iter(fake), CUDA))
    assert len(copied) == len(main.waited_for) == len(set(main.waited_for)) == 3
    assert len(held) == 3 * len(tensors_of(batches[0]))
    assert set(held) == {(CUDA, main)}
    assert all(tensor.device == CUDA for batch in copied for tensor in tensors_of(batch))


def without_values(mode: FakeTensorMode, value: object) -> object:
    """Return a batch whose tensors, on the CPU, have no values."""
    if isinstance(value, Tensor):
        return mode.from_tensor(value)
    if isinstance(value, tuple):
        return tuple(without_values(mode, item) for item in value)
    if is_dataclass(value):
        return replace(value, **{f.name: without_values(mode, getattr(value, f.name)) for f in fields(value)})
    return value


@pytest.mark.parametrize("layers", [None, [0, 2]])
def test_features(layers):
    config = PretrainConfig.model_validate(
        {"encoder": {"name": "test_vit", "in_chans": 3, "layers": layers}, "patches": {"size_px": 32}}
    )
    encoder = build_encoder(config).eval()
    patches = np.zeros((5, 1, 32, 32), np.uint8)
    expected = encoder.embed(patches)
    with fake_gpu() as mode:
        onto_gpu(mode, encoder)
        features = encoder.embed(patches)
        assert (features.device, features.shape, features.dtype) == (CUDA, expected.shape, torch.float32)
    assert batch_slices(300, 512, CUDA, 256) == [slice(first, min(first + 64, 300)) for first in range(0, 300, 64)]
    assert computing_threads(512, CUDA, 16) == 1


NETWORKS = [
    MlpModel(kind="mlp"),
    *(ConvolutionModel(kind=kind) for kind in ("gcn", "sage")),
    AttentionModel(kind="gat"),
    AttentionModel(kind="gat", edges=["length", "features"]),
    AttentionModel(kind="gatv2"),
]


def product(matrix: Tensor, values: Tensor) -> Tensor:
    """A product with a sparse matrix, which tensors without values do not know."""
    assert matrix.device == values.device
    assert matrix.shape == (len(values), len(values))
    return torch.empty_like(values)


@pytest.mark.parametrize("settings", NETWORKS, ids=lambda settings: settings.kind)
@pytest.mark.parametrize("is_training", [True, False])
def test_networks_over_nodes_bring_the_mesh_there_once(monkeypatch, settings, is_training):
    adjacency = SURFACE.adjacency()
    attributes = np.zeros((adjacency.nnz, 2), np.float32) if getattr(settings, "edges", None) else None
    edges = MeshEdges.from_adjacency(adjacency, attributes)
    network = make_network(settings, 6, 4).train(is_training)
    inputs = np.zeros((SURFACE.n_vertices, 6), np.float32)
    with fake_gpu() as mode:
        onto_gpu(mode, network)
        monkeypatch.setattr(torch.sparse, "mm", product)
        there = torch.from_numpy(inputs).to(CUDA)
        logits = network(there, edges)
        assert (logits.device, logits.shape) == (CUDA, (SURFACE.n_vertices, 4))
        with Copies() as copies:
            network(there, edges)
        assert copies.n == 0


def test_an_epoch_of_a_network_waits_once(monkeypatch):
    """Targets, rows and inputs stay on the device; the loss of the epoch is read at its end."""
    n = SURFACE.n_vertices
    model = NeuralClassifier(AttentionModel(kind="gat"), TrainingConfig(noise=0.1), 6, 3, torch.device("cpu"))
    targets = np.random.default_rng(0).integers(0, 3, n)
    sides, sizes, classes = np.full(n, "train"), np.array([n]), np.arange(1, 4, dtype=np.int32)
    inputs, places = np.zeros((n, 6), np.float32), SURFACE.vertices.astype(np.float32)
    data = NodeData(inputs, targets, sides, SURFACE.adjacency(), sizes, classes, places)
    with fake_gpu() as mode:
        onto_gpu(mode, model.network)
        model.device = CUDA
        monkeypatch.setattr(Tensor, "backward", lambda *_, **__: None)  # needs a driver
        batches = make_batches(model.settings, data, None)
        load = model._loader(data.inputs, batches)
        criterion = NodeLoss(CrossEntropy(CrossEntropyConfig()), torch.ones(3, device=CUDA), 0.5, 0.1)
        lessons = [model._lesson(data, batch, criterion) for batch in batches]
        optimiser = torch.optim.SGD(model.network.parameters())
        schedule = torch.optim.lr_scheduler.ConstantLR(optimiser)
        arguments = (lessons, load, criterion, optimiser, schedule, 0, 1)
        for _ in range(2):
            with Copies() as copies, pytest.raises(DataDependentOutputException):
                model._epoch(*arguments)
        assert copies.n == 0
        assert model._logits(load, n, batches, np.arange(n)).device == CUDA
