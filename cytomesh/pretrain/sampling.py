"""Section-aware batches: seeds spread evenly over the cortex, each with neighbours from other sections."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.core.random import generator
from cytomesh.graph.geodesics import LocalGeodesics
from cytomesh.pretrain.config import SamplingConfig
from cytomesh.pretrain.pool import PatchPool

# On a dense mesh, neighbours are drawn from the nearest so many.
MAX_CANDIDATES = 512


class PatchSampler:
    """Draw batches that hold positive pairs.

    Seeds are drawn in proportion to the cortex they stand for (or evenly over the sections: `section_balance`), each
    brain as often as any other. Neighbours of a seed lie within `radius_mm` and never in the seed's own section: pairs
    within one section share staining and cutting, which would be learned instead of cytoarchitecture. They are drawn in
    proportion to area x exp(-d^2 / 2 (radius / 2)^2), a share of them from other brains. Where nothing is near, a patch
    drawn like a seed stands in.

    A batch depends on the seed and its step only, not on the ranks or on what was drawn before: any rank can draw any
    batch, and a resumed run goes on exactly.

    Parameters
    ----------
    pool : PatchPool
    config : SamplingConfig
    seed : int
    geodesics : LocalGeodesics, optional
        Measure along the reference midsurface instead of straight through the reference space.
    """

    def __init__(
        self, pool: PatchPool, config: SamplingConfig, seed: int, geodesics: LocalGeodesics | None = None
    ) -> None:
        self.geodesics = geodesics
        self.pool = pool
        self.config = config
        self.seed = seed
        is_allowed = pool.annotation > 0 if config.annotated_only else np.ones(len(pool), bool)
        self.rows = np.flatnonzero(is_allowed)
        self.tree = cKDTree(pool.position[self.rows])
        share = np.zeros(len(pool))
        brains = np.unique(pool.brain[self.rows])
        for brain in brains:
            rows = is_allowed & (pool.brain == brain)
            weight = self._weights(rows)
            share[rows] = weight / weight.sum() / len(brains)
        self._cumulative = np.cumsum(share)

    def draw(self, step: int) -> NDArray[np.int64]:
        """Return the pool rows of a batch, (seeds, 1 + neighbours) int64, the seed first."""
        config = self.config
        rng = generator(self.seed, "batch", step)
        seeds = self._draw_seeds(rng, config.seeds_per_batch)
        batch = np.empty((len(seeds), 1 + config.neighbours), np.int64)
        batch[:, 0] = seeds
        if config.neighbours:
            uniform = rng.random((len(seeds), config.neighbours))
            wants_other = rng.random((len(seeds), config.neighbours)) < config.other_brain_share
            stand_in = self._draw_seeds(rng, len(seeds) * config.neighbours).reshape(uniform.shape)
            near, distance = self._near(seeds)
            for i, seed in enumerate(seeds):
                batch[i, 1:] = self._neighbours(seed, near[i], distance[i], uniform[i], wants_other[i], stand_in[i])
        return batch

    def rank_rows(self, step: int, size: int) -> list[NDArray[np.int64]]:
        """Return the pool rows of each rank's part of a batch; seeds stay with their neighbours."""
        batch = self.draw(step)
        cuts = [len(batch) * rank // size for rank in range(size + 1)]
        return [batch[first:last].ravel() for first, last in itertools.pairwise(cuts)]

    def _weights(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return area x (area of the section)^-section_balance of some patches."""
        area = self.pool.area_mm2[rows]
        if not self.config.section_balance:
            return area
        _, section = np.unique(self.pool.section[rows], return_inverse=True)
        return np.asarray(area * np.bincount(section, area)[section] ** -self.config.section_balance, np.float64)

    def _draw_seeds(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        rows = np.searchsorted(self._cumulative, rng.random(n) * self._cumulative[-1], side="right")
        return np.minimum(rows, self.rows[-1]).astype(np.int64)

    def _near(self, seeds: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        k = min(MAX_CANDIDATES, len(self.rows))
        distance, near = self.tree.query(
            self.pool.position[seeds], k=k, distance_upper_bound=self.config.radius_mm * (1 + 1e-12)
        )
        distance = distance.reshape(len(seeds), k)
        near = np.append(self.rows, -1)[near.reshape(len(seeds), k)]  # the tree calls a lacking neighbour k
        if self.geodesics is not None:  # never shorter than the straight line: all that are near are among these
            is_found = np.isfinite(distance)
            vertex = self.pool.vertex
            first = np.broadcast_to(vertex[seeds][:, None], near.shape)[is_found]
            along = self.geodesics.between(first, vertex[near[is_found]])
            distance[is_found] = np.where(along <= self.config.radius_mm, along, np.inf)
        return near, distance

    def _neighbours(
        self,
        seed: int,
        near: NDArray[np.int64],
        distance: NDArray[np.float64],
        uniform: NDArray[np.float64],
        wants_other: NDArray[np.bool_],
        stand_in: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        pool = self.pool
        is_found = np.isfinite(distance)
        near, distance = near[is_found], distance[is_found]
        is_allowed = pool.section[near] != pool.section[seed]
        near, distance = near[is_allowed], distance[is_allowed]
        if not len(near):
            return stand_in
        weight = pool.area_mm2[near] * np.exp(-2.0 * (distance / self.config.radius_mm) ** 2)
        is_other = pool.brain[near] != pool.brain[seed]
        chosen = np.empty(len(uniform), np.int64)
        for wanted in (False, True):
            members = is_other if wanted else ~is_other
            members = members if members.any() else np.ones_like(members)  # one kind only: take what is near
            cumulative = np.cumsum(weight[members])
            slots = wants_other == wanted
            picked = np.searchsorted(cumulative, uniform[slots] * cumulative[-1], side="right")
            chosen[slots] = near[members][np.minimum(picked, len(cumulative) - 1)]
        return chosen
