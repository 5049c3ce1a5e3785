"""Drawing a batch: all patches within the radius are candidates, against the nearest 512 of a k-d tree, seed by seed.

Claim: a batch of 65,536 patches (16,384 seeds with three neighbours, radius 6 mm) from a million patches of ten brains
takes under 0.5 CPU s, a tenth of the peer, and its neighbours reach the radius. The pool is real cortex: points on
both hemispheres of fsaverage5's midsurface (nilearn's copy), ten times with different errors of registration, in
coronal sections. Distances are held against all candidates of some seeds, weighed one by one.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.common import Options, Result, main
from benchmarks.pretrain.geodesics import both
from cytomesh.core.random import generator
from cytomesh.pretrain.config import SamplingConfig
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.sampling import PatchSampler

N_BRAINS = 10
MAX_CANDIDATES = 512
COLUMNS = ("", "patches", "batch", "CPU s a batch", "CPU s to begin", "mean mm", "p95 mm", "farthest mm")


class NearestSampler:
    """The peer: neighbours among the nearest 512 patches, one seed after the other."""

    def __init__(self, pool: PatchPool, config: SamplingConfig, seed: int) -> None:
        self.pool, self.config, self.seed = pool, config, seed
        self.tree = cKDTree(pool.position)
        self.share = np.cumsum(pool.area_mm2 / pool.area_mm2.sum())  # brains of the same area: as often as each other

    def draw(self, step: int) -> NDArray[np.int64]:
        """Return the pool rows of a batch, (seeds, 1 + neighbours), the seed first."""
        config, pool = self.config, self.pool
        rng = generator(self.seed, "batch", step)
        seeds = np.searchsorted(self.share, rng.random(config.seeds_per_batch) * self.share[-1], side="right")
        batch = np.empty((len(seeds), 1 + config.neighbours), np.int64)
        uniform = rng.random((len(seeds), config.neighbours))
        wants_other = rng.random(uniform.shape) < config.other_brain_share
        distances, nearest = self.tree.query(
            pool.position[seeds], MAX_CANDIDATES, distance_upper_bound=config.radius_mm
        )
        for i, seed in enumerate(seeds):
            is_found = np.isfinite(distances[i])
            near, distance = nearest[i][is_found], distances[i][is_found]
            weight = pool.area_mm2[near] * np.exp(-2.0 * (distance / config.radius_mm) ** 2)
            weight[pool.section[near] == pool.section[seed]] = 0.0
            is_other = pool.brain[near] != pool.brain[seed]
            batch[i] = seed
            for wanted in (False, True):
                cumulative = np.cumsum(weight * (is_other == wanted))
                slots = np.flatnonzero(wants_other[i] == wanted)
                if cumulative[-1] > 0:
                    picked = np.searchsorted(cumulative, uniform[i][slots] * cumulative[-1], side="right")
                    batch[i, 1 + slots] = near[picked]
        return batch


def cortex(n_patches: int, seed: int = 0) -> PatchPool:
    """Return patches of ten brains in reference space: one cortex, shifted by 1 mm and jittered by 0.5 mm."""
    rng = np.random.default_rng(seed)
    mesh = both(2)
    n = n_patches // N_BRAINS
    shifts = rng.normal(0, 1.0, (N_BRAINS, 3))
    brain = np.repeat(np.arange(N_BRAINS), n)
    vertex = rng.choice(mesh.n_vertices, N_BRAINS * n)
    position = mesh.vertices[vertex] + shifts[brain] + rng.normal(0, 0.5, (N_BRAINS * n, 3))
    slab = np.floor(position[:, 1]).astype(np.int64)
    section = slab - slab.min() + (np.ptp(slab) + 1) * brain
    none = np.zeros(len(brain), np.int64)
    normal = np.tile([1.0, 0.0, 0.0], (len(brain), 1))
    area = mesh.vertex_areas[vertex]
    probability = sp.csr_matrix((len(brain), 0), dtype=np.float32)
    return PatchPool(position, normal, none > 0, none, area, section, brain, none, none, probability, ())


def wanted(pool: PatchPool, config: SamplingConfig, seeds: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return mean, 95th percentile and largest distance of neighbours, all candidates of some seeds weighed."""
    distances, weights = [], []
    for seed in seeds:
        distance = np.linalg.norm(pool.position - pool.position[seed], axis=1)
        is_near = (distance <= config.radius_mm) & (pool.section != pool.section[seed])
        weight = np.where(is_near, pool.area_mm2 * np.exp(-2.0 * (distance / config.radius_mm) ** 2), 0.0)
        is_other = pool.brain != pool.brain[seed]
        share = config.other_brain_share
        for kind, part in ((is_other, share), (~is_other, 1.0 - share)):
            weight[kind] *= part / max(weight[kind].sum(), 1e-300)
        distances.append(distance[is_near])
        weights.append(weight[is_near])
    everything, weight = np.concatenate(distances), np.concatenate(weights)
    weight /= weight.sum()
    order = np.argsort(everything)
    p95 = everything[order][np.searchsorted(np.cumsum(weight[order]), 0.95)]
    return float((everything * weight).sum()), float(p95), float(everything.max())


def measure(options: Options) -> Result:
    """Draw batches both ways, in turn; the quick form takes a smaller pool and smaller batches."""
    n_patches, n_seeds, rounds = (100_000, 2048, 3) if options.quick else (1_000_000, 16_384, 5)
    pool = cortex(n_patches)
    config = SamplingConfig(seeds_per_batch=n_seeds, neighbours=3, radius_mm=6.0)
    kinds: dict[str, Any] = {"cytomesh": PatchSampler, "nearest 512, seed by seed": NearestSampler}
    samplers, begin = {}, {}
    for name, kind in kinds.items():
        start = time.process_time()
        samplers[name] = kind(pool, config, 0)
        begin[name] = time.process_time() - start
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in kinds}
    for step in range(rounds):
        for name, sampler in samplers.items():
            start = time.process_time()  # one thread: the same as seconds on a machine without other work
            batch = sampler.draw(step)
            seconds[name].append(time.process_time() - start)
            gaps = pool.position[batch[:, :1]] - pool.position[batch[:, 1:]]
            found[name].append(np.linalg.norm(gaps, axis=2).ravel())
    rows: list[list[Any]] = []
    for name in kinds:
        distance = np.concatenate(found[name])
        numbers = distance.mean(), np.quantile(distance, 0.95), distance.max()
        cost = float(np.median(seconds[name])), begin[name]
        rows.append([name, n_patches, config.batch_size, *cost, *map(float, numbers)])
    truth = wanted(pool, config, samplers["cytomesh"].draw(0)[:200, 0])
    rows.append(["all candidates of 200 seeds, weighed", n_patches, "-", "-", "-", *truth])
    ours, peer = (float(np.median(seconds[name])) for name in kinds)
    claim = (
        f"batch of {config.batch_size:,} from {n_patches:,} patches: {ours:.2f} CPU s, {ours / peer:.3f} times"
        f" the nearest 512 seed by seed ({peer:.2f} s); 95 % of neighbours"
        f" within {rows[0][6]:.2f} mm ({rows[1][6]:.2f}), wanted {truth[1]:.2f}"
    )
    return Result("Drawing a batch", COLUMNS, rows, claim, {"seconds": seconds})


if __name__ == "__main__":
    main(measure, __doc__)
