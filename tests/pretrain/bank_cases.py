"""A pool of patches on the three small brains, and its bank."""

from __future__ import annotations

import numpy as np
import torch

from cytomesh.core.digests import FileDigests
from cytomesh.core.distributed import World
from cytomesh.core.run import read_study_path
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.bank import bank_folder
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.find_bank import find_patches
from cytomesh.pretrain.patches import SectionReader, images_of
from cytomesh.pretrain.pool import build_pool
from cytomesh.study.study import open_study

ROLES = ("train", "transfer")
CONFIG = PatchConfig(size_px=12, um_per_px=500.0, border_px=2)
SETTINGS = ["patches.size_px=12", "patches.um_per_px=500", "patches.border_px=2"]
ALONE = World(0, 1, torch.device("cpu"))


def pool_of(run):
    return build_pool(open_study(read_study_path(run)), load_graphs(run), ROLES)


def images(run):
    """What the patches of the training brains are cut from, as it is now."""
    graphs = [graph for graph in load_graphs(run) if graph.brain_role in ROLES]
    digests = FileDigests()
    return images_of(run, open_study(read_study_path(run)), graphs, digests), Freshness(run, digests)


def made(run, **changes):
    """Pool, folder and patches of a bank."""
    config = CONFIG.model_copy(update=changes)
    pool, (data, freshness) = pool_of(run), images(run)
    return pool, bank_folder(run, config, data), find_patches(run, pool, config, data, "vit", freshness, ALONE)


def is_same(source, pool, **changes):
    rows = np.random.default_rng(0).permutation(len(pool))
    expected = SectionReader(pool, CONFIG.model_copy(update=changes)).read(rows)
    return np.array_equal(source.read(rows), expected)
