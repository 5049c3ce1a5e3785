"""Batches of patches from a bank here and over HTTP, from the images and from memory, as pretraining draws them; CPU.

Claim: what is extracted once is read at a small part of the price of the images, near that of ready tensors. The pool
is that of a run (`--run`, the demo's by preference) or of the tiny study; seeds and their neighbours lie all over it,
so that a batch opens many sections. Files are in the page cache; "copied" reads from a folder of `patches.cache_dir`.
Processor seconds, one thread, turn about; the web server is another process on the loopback. A store further away adds
its latency once a batch: all rows are asked for at once.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import MissingDataError, Options, Result, interleave, main
from benchmarks.range_server import range_server
from cytomesh.core.config import load_config, preset
from cytomesh.core.digests import FileDigests
from cytomesh.core.distributed import World
from cytomesh.core.errors import QualityError
from cytomesh.core.remote import as_path
from cytomesh.core.run import read_study_path
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.storage import load_graphs
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.write import write_phantom
from cytomesh.pretrain.bank import bank_bytes, bank_folder, open_bank
from cytomesh.pretrain.bank_index import read_index
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.find_bank import find_patches
from cytomesh.pretrain.patches import SectionReader, images_of
from cytomesh.pretrain.pool import PatchPool, build_pool
from cytomesh.pretrain.sampling import PatchSampler
from cytomesh.study.study import open_study

COLUMNS = ("patches from", "patches/s", "range of seconds", "to ready tensors", "to the bank")


def tiny_run(folder: Path) -> Path:
    """Return a run with the graphs of the tiny study."""
    study = load_config(PhantomConfig, preset("phantom", "tiny"), ["brains=[{id: T01, role: train}]"])
    write_phantom(folder / "study", study, workers=1)
    graphs = load_config(BuildGraphConfig, preset("build-graph", "tiny"), [])
    build_graphs(folder / "study" / "study.yaml", folder / "run", graphs, workers=1)
    return folder / "run"


def open_pool(run: Path, settings: PretrainConfig) -> tuple[PatchPool, Any, Freshness]:
    """Return the pool of a run, and what its patches are cut from."""
    study = open_study(read_study_path(run))
    graphs = [graph for graph in load_graphs(run) if graph.brain_role in settings.sampling.roles]
    pool, digests = build_pool(study, graphs, settings.sampling.roles), FileDigests()
    return pool, images_of(run, study, graphs, digests), Freshness(run, digests)


def measure(options: Options) -> Result:
    """Time the batches of some steps."""
    with ExitStack() as scratches:
        folder = Path(scratches.enter_context(tempfile.TemporaryDirectory()))
        if options.run is not None and not (options.run / "graphs").is_dir():
            raise MissingDataError(f"no graphs in {options.run}")
        run = options.run or tiny_run(folder)
        settings = load_config(PretrainConfig, preset("pretrain", "demo" if options.run else "tiny"), [])
        pool, data, freshness = open_pool(run, settings)
        alone, config = World(0, 1, torch.device("cpu")), settings.patches
        start = time.perf_counter()
        bank = find_patches(run, pool, config, data, "", freshness, alone)
        seconds = time.perf_counter() - start
        home = bank_folder(run, config, data)
        copied = open_bank(home, pool, folder / "cache")
        remote = folder / "there" / home.name
        url = scratches.enter_context(range_server(home.parent))
        read_index(home).at(as_path(f"{url}/{home.name}")).write(remote, folder)
        there, fetched = open_bank(remote, pool), open_bank(remote, pool, folder / "fetched")
        start = time.perf_counter()
        fetched.read(np.arange(len(pool)))
        fetch_s = time.perf_counter() - start
        ready, images = bank.read(np.arange(len(pool))), SectionReader(pool, config)
        sampler = PatchSampler(pool, settings.sampling, settings.seed)
        batches = [sampler.draw(step).ravel() for step in range(2 if options.quick else 8)]

        def read(source: Any) -> Any:
            return lambda: [source(rows) for rows in batches]

        sources = {
            "memory": ready.__getitem__,
            "bank": bank.read,
            "bank, copied": copied.read,
            "bank over HTTP": there.read,
            "bank over HTTP, copied": fetched.read,
            "images": images.read,
        }
        if not all(np.array_equal(source(batches[0]), ready[batches[0]]) for source in sources.values()):
            raise QualityError("patches", found="others than those of the bank")
        times = interleave({name: read(s) for name, s in sources.items()}, 3, time.process_time)
    n = sum(map(len, batches))
    rows = [
        [name, n / timing.median, str(timing), *(timing.median / times[other].median for other in ("memory", "bank"))]
        for name, timing in times.items()
    ]
    ratio = times["images"].median / times["bank"].median
    size = bank_bytes(pool, config, ready.shape[1]) / 2**20
    facts = {"patches": len(pool), "sections": len(pool.sections), "mb": size, "bank_s": seconds, "fetch_s": fetch_s}
    title = f"{n} patches of {len(pool.sections)} sections, {ready.shape[-1]} px ({size:.0f} MB in all)"
    return Result(title, COLUMNS, rows, f"The bank takes 1/{ratio:.0f} of the images' time", facts)


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
