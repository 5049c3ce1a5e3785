"""A pool of random patches, so that the trainer itself can be timed without a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from cytomesh.core.distributed import World
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.export import build_encoder
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.projector import ProjectionHead, Projector
from cytomesh.pretrain.sampling import PatchSampler
from cytomesh.pretrain.trainer import Trainer

N_PATCHES = 4000
N_DIFFERENT = 64


class RandomPatches:
    """A patch source of noise, made once: each read copies some of it, as from a patch bank.

    Parameters
    ----------
    side_px : int
    """

    def __init__(self, side_px: int) -> None:
        self.patches = np.random.default_rng(0).integers(0, 256, (N_DIFFERENT, 1, side_px, side_px), np.uint8)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return (n, 1, s, s) uint8."""
        return self.patches[rows % N_DIFFERENT]


def random_pool() -> PatchPool:
    """Return patches of two brains with twenty sections each, in a cube of 60 mm."""
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 60, (N_PATCHES, 3))
    brain = rng.integers(0, 2, N_PATCHES)
    section = (position[:, 1] // 3).astype(np.int64) + 20 * brain
    none = np.zeros(N_PATCHES, np.int64)
    normal = np.tile([1.0, 0.0, 0.0], (N_PATCHES, 1))
    probability = sp.csr_matrix((N_PATCHES, 0), dtype=np.float32)
    area = np.ones(N_PATCHES)
    return PatchPool(position, normal, none > 0, none - 1, area, section, brain, none, none, probability, ())


def synthetic_trainer(settings: PretrainConfig, world: World, folder: Path) -> Trainer:
    """Return a trainer of the settings on random patches."""
    torch.manual_seed(0)
    encoder = build_encoder(settings)
    head = ProjectionHead(encoder.dim, settings.head)
    sampler = PatchSampler(random_pool(), settings.sampling, settings.seed)
    source = RandomPatches(settings.patches.size_px + 2 * settings.patches.border_px)
    projector = Projector(encoder, head).to(world.device)
    return Trainer(settings, projector, sampler, source, world, folder, "synthetic")
