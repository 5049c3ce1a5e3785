"""Everything that cytomesh does on a GPU, in one go: training steps, one rank under NCCL, features, attention.

Aims: a training step in bfloat16 takes at most 1.1 times what the bare encoder takes, at 512 px and at 2,048 px
behind the strided stem; features in bfloat16 are made at least 1.5 times as fast as in float32; graph attention, which
is PyG's on a GPU, is as fast as PyG's own layer. The card and the date are printed. Without a CUDA device the quick
form runs on the CPU: it shows that all of it works, and its ratios mean nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import trimesh
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.common import Options, Result, interleave, main, own_peak_memory_mb
from benchmarks.pretrain.synthetic import synthetic_trainer
from cytomesh.classify.attention import MeshEdges
from cytomesh.classify.layers import Attention
from cytomesh.core.distributed import World
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.encoder import PatchEncoder
from cytomesh.pretrain.export import build_encoder
from cytomesh.surface.mesh import Mesh

COLUMNS = ("", "s", "items/s", "GB", "to its peer")
Step = Callable[[], object]


class Bench:
    """A device, and how long and how much memory work on it takes.

    Parameters
    ----------
    device : torch.device
    rounds : int
    """

    def __init__(self, device: torch.device, rounds: int) -> None:
        self.device = device
        self.rounds = rounds
        self.rows: list[list[Any]] = []

    def time(self, title: str, n_items: int, steps: dict[str, Step]) -> float:
        """Time some ways of doing the same, in turns; add a row each; return the last one's time to the first one's."""
        memory = {name: self._memory_gb(step) for name, step in steps.items()}
        timings = interleave({name: self._waited_for(step) for name, step in steps.items()}, self.rounds)
        peer = next(iter(timings.values())).median
        for name, timing in timings.items():
            ratio = timing.median / peer
            self.rows.append([f"{title}: {name}", timing.median, n_items / timing.median, memory[name], ratio])
        return ratio

    def _waited_for(self, step: Step) -> Step:
        def run() -> None:
            step()
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)

        return run

    def _memory_gb(self, step: Step) -> float:
        if self.device.type != "cuda":
            step()
            return own_peak_memory_mb() / 1024.0
        torch.cuda.reset_peak_memory_stats(self.device)
        step()
        return torch.cuda.max_memory_allocated(self.device) / 1e9


def settings_of(model: str, size_px: int, n_images: int, stem: str) -> PretrainConfig:
    """Return settings of a training step, augmented as for training."""
    return PretrainConfig.model_validate(
        {
            "encoder": {"name": model, "in_chans": 1, "stem": stem},
            "patches": {"size_px": size_px, "border_px": size_px // 8},
            "augment": {"rotation_deg": 20, "scale": 0.1, "blur_px": 1, "noise": 0.05, "intensity_scale": 0.2},
            "objectives": {"spatial_nce": {"sigma_mm": 3.0, "reach_mm": 9.0}},
            "sampling": {"seeds_per_batch": n_images // 4, "neighbours": 3, "radius_mm": 6.0},
            "schedule": {"steps": 10**6, "warmup_steps": 0},
            "log_every": 10**6,
        }
    )


def bare_step(encoder: nn.Module, images: Tensor, dtype: torch.dtype) -> Step:
    """Return the forward and backward pass of an encoder, nothing else."""

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, dtype=dtype, enabled=dtype != torch.float32):
            features = encoder(images)
        features.float().sum().backward()

    return step


def train(bench: Bench, folder: Path, settings: PretrainConfig, n_images: int, name: str) -> float:
    """Time a whole training step against the bare encoder, and against the same fed from memory through the feed."""
    trainer = synthetic_trainer(settings, World(0, 1, bench.device), folder)
    trainer.model.train()
    report = trainer.open_report()
    batch = trainer.feed.read(0).to(bench.device)
    feed = trainer.feed.batches(0, 10**6)
    side = settings.patches.size_px
    images = torch.randn((n_images, 1, side, side), device=bench.device)
    steps: dict[str, Step] = {
        "bare encoder": bare_step(build_encoder(settings).to(bench.device).train(), images, trainer.dtype),
        "step, copied ahead": lambda: trainer.train_step(next(feed), report),
        "step": lambda: trainer.train_step(batch, report),
    }
    ratio = bench.time(f"pretrain, {name}", n_images, steps)
    feed.close()
    report.close()
    return ratio


@contextmanager
def one_rank(device: torch.device) -> Iterator[str]:
    """Be the only rank of a process group; yields its backend."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield backend
    finally:
        dist.destroy_process_group()


def rank(bench: Bench, settings: PretrainConfig, n_images: int) -> float:
    """Time an encoder's passes under DDP with one rank against those without."""
    side = settings.patches.size_px
    images = torch.randn((n_images, 1, side, side), device=bench.device)
    dtype = torch.bfloat16 if bench.device.type == "cuda" else torch.float32
    with one_rank(bench.device) as backend:
        alone, parallel = (build_encoder(settings).to(bench.device).train() for _ in range(2))
        ddp = DistributedDataParallel(parallel, device_ids=[0] if bench.device.type == "cuda" else None)
        steps = {"alone": bare_step(alone, images, dtype), f"one rank, {backend}": bare_step(ddp, images, dtype)}
        return bench.time("DDP", n_images, steps)


def embed(bench: Bench, settings: PretrainConfig, n_images: int) -> float:
    """Time features in both precisions; patches come from memory, features go there."""
    encoder: PatchEncoder = build_encoder(settings).to(bench.device).eval()
    side = settings.patches.size_px
    patches = np.random.default_rng(0).integers(0, 256, (n_images, 1, side, side), np.uint8)

    def in_precision(dtype: torch.dtype) -> Step:
        def step() -> None:
            with torch.autocast(bench.device.type, dtype=dtype, enabled=dtype != torch.float32):
                encoder.embed(patches).cpu()

        return step

    return bench.time(
        f"embed, {side} px",
        n_images,
        {"float32": in_precision(torch.float32), "bfloat16": in_precision(torch.bfloat16)},
    )


def attention(bench: Bench, n_subdivisions: int) -> float:
    """Time a graph attention layer, forward and backward, against PyG's with the same weights."""
    from torch_geometric.nn import GATConv

    sphere = trimesh.creation.icosphere(subdivisions=n_subdivisions)
    edges = MeshEdges.from_adjacency(Mesh(sphere.vertices, sphere.faces).adjacency())
    own = Attention(64, 16, 4, 0.0).to(bench.device)
    peer = GATConv(64, 16, heads=4, add_self_loops=False).to(bench.device)
    inputs = torch.randn((len(sphere.vertices), 64), device=bench.device)
    links = edges.edge_index(bench.device)
    steps: dict[str, Step] = {
        "PyG": lambda: peer(inputs, links).sum().backward(),
        "cytomesh": lambda: own(inputs, edges).sum().backward(),
    }
    return bench.time(f"GAT, {len(sphere.vertices):,} nodes", len(sphere.vertices), steps)


def measure(options: Options) -> Result:
    """Measure everything that there is a device for."""
    has_gpu = torch.cuda.is_available()
    is_quick = options.quick or not has_gpu
    device = torch.device("cuda", 0) if has_gpu else torch.device("cpu")
    card = torch.cuda.get_device_name(device) if has_gpu else "no CUDA device: on the CPU"
    bench = Bench(device, 2 if is_quick else 10)
    model, n_images = ("test_resnet", 8) if is_quick else ("resnet50", 64)
    small, large = (32, 64) if is_quick else (512, 2048)
    n_large = n_images if is_quick else 32
    with tempfile.TemporaryDirectory() as folder:
        one, two = settings_of(model, small, n_images, "model"), settings_of(model, large, n_large, "strided")
        ratios = {
            f"step at {small} px to bare encoder": train(bench, Path(folder, "1"), one, n_images, f"{small} px"),
            f"at {large} px, strided stem": train(bench, Path(folder, "2"), two, n_large, f"{large} px, strided"),
            "one rank to none": rank(bench, one, n_images),
            "features in bfloat16 to float32": embed(bench, one, n_images),
            "GAT to PyG": attention(bench, 3 if is_quick else 7),
        }
    skipped = [] if has_gpu else ["bfloat16 and copies ahead in training", "NCCL (gloo instead)", "GPU memory"]
    skipped += ["sizes of the full form"] if is_quick else []
    claim = f"{card}, {datetime.now(UTC).date()}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    claim += f"; skipped: {', '.join(skipped)}" if skipped else ""
    return Result(f"On a GPU ({card})", COLUMNS, bench.rows, claim, {"card": card})


if __name__ == "__main__":
    main(measure, __doc__)
