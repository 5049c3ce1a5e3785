"""Section-aware batches: seeds spread evenly over the cortex, each with neighbours from other sections."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ConfigError
from cytomesh.core.random import generator
from cytomesh.graph.geodesics import LocalGeodesics
from cytomesh.pretrain.config import SamplingConfig
from cytomesh.pretrain.nearby import Nearby
from cytomesh.pretrain.pool import PatchPool


def check_seeds(config: SamplingConfig, n_ranks: int) -> None:
    """Raise ConfigError if there are fewer seeds in a batch than ranks to share them; the same on all ranks."""
    if config.seeds_per_batch < n_ranks:
        found = f"{config.seeds_per_batch} for {n_ranks} ranks"
        hint = "raise it, or start fewer ranks"
        raise ConfigError("sampling.seeds_per_batch", found=found, expected="at least one seed a rank", hint=hint)


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
        _, brain = np.unique(pool.brain[self.rows], return_inverse=True)
        share = np.zeros(len(self.rows))
        for number in range(brain.max() + 1):
            is_in = brain == number
            weight = self._weights(self.rows[is_in])
            share[is_in] = weight / weight.sum() / (brain.max() + 1)
        self._cumulative = np.cumsum(share)
        of_section = np.bincount(pool.section[self.rows], share)
        self._middle = (np.cumsum(of_section) - 0.5 * of_section) / of_section.sum()  # 0 to 1, of each section
        if config.neighbours:
            position, area = pool.position[self.rows], pool.area_mm2[self.rows]
            # vertices on the template can be nearer than the patches that they stand for
            bound = self._kernel if geodesics is None else np.ones_like
            self._same_brain = Nearby(position, brain, area, config.radius_mm, bound)
            self._any_brain = Nearby(position, np.zeros_like(brain), area, config.radius_mm, bound)
            self._has_other_brain = self._any_brain.n_candidates() > self._same_brain.n_candidates()

    def draw(self, step: int) -> NDArray[np.int64]:
        """Return the pool rows of a batch, (seeds, 1 + neighbours) int64, the seed first."""
        config = self.config
        rng = generator(self.seed, "batch", step)
        seeds = self._draw_seeds(rng, config.seeds_per_batch)
        if not config.neighbours:
            return self.rows[seeds[:, None]]
        others = self._draw_others(rng, np.repeat(seeds, config.neighbours)).reshape(len(seeds), config.neighbours)
        return self.rows[np.column_stack([seeds, others])]

    def shares(self, batch: NDArray[np.int64], size: int, *, by_section: bool) -> list[NDArray[np.int64]]:
        """Return which patches of a batch each rank takes: places among its rows one after the other, ascending.

        Parameters
        ----------
        batch : (seeds, 1 + neighbours) int64
            See `draw`.
        size : int
            Number of ranks.
        by_section : bool
            Give each rank the patches of a slab of sections, always the same, so that it opens few; those for which
            a rank has no room go to ranks that have. Else seeds stay with their neighbours. The batch, and so the loss,
            is the same.
        """
        cuts = np.array([len(batch) * rank // size * batch.shape[1] for rank in range(size + 1)])
        if not by_section:
            return np.split(np.arange(batch.size), cuts[1:-1])
        room = np.diff(cuts)
        home = np.minimum((size * self._middle[self.pool.section[batch.ravel()]]).astype(np.int64), size - 1)
        order = np.argsort(home, kind="stable")
        n_home = np.bincount(home, minlength=size)
        is_over = np.arange(batch.size) - (np.cumsum(n_home) - n_home)[home[order]] >= room[home[order]]
        rank = home.copy()
        rank[order[is_over]] = np.repeat(np.arange(size), room - np.minimum(n_home, room))
        return [np.flatnonzero(rank == number) for number in range(size)]

    def _weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return area x (area of the section)^-section_balance of some patches."""
        area = self.pool.area_mm2[rows]
        if not self.config.section_balance:
            return area
        _, section = np.unique(self.pool.section[rows], return_inverse=True)
        return np.asarray(area * np.bincount(section, area)[section] ** -self.config.section_balance, np.float64)

    def _draw_seeds(self, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        drawn = np.searchsorted(self._cumulative, rng.random(n) * self._cumulative[-1], side="right")
        return np.minimum(drawn, len(self.rows) - 1)

    def _draw_others(self, rng: np.random.Generator, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Draw a neighbour for each of some seeds."""
        wants_other_brain = rng.random(len(seeds)) < self.config.other_brain_share
        drawn = np.full(len(seeds), -1)
        for wanted in (wants_other_brain, ~wants_other_brain):  # where only one kind is near, it is what is drawn
            for is_other_brain, near in ((False, self._same_brain), (True, self._any_brain)):
                is_hopeless = is_other_brain & ~self._has_other_brain[seeds]
                left = np.flatnonzero((drawn < 0) & (wanted == is_other_brain) & ~is_hopeless)
                drawn[left] = near.draw(rng, seeds[left], partial(self._weight, is_other_brain))
        lonely = np.flatnonzero(drawn < 0)
        drawn[lonely] = self._draw_seeds(rng, len(lonely))
        return drawn

    def _weight(
        self,
        is_other_brain: bool,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        distance: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return exp(-d^2 / 2 (radius / 2)^2) of pairs that may be drawn, (m,), 0 of all others."""
        pool, radius = self.pool, self.config.radius_mm * (1 + 1e-12)
        first, second = self.rows[first], self.rows[second]
        is_allowed = (distance <= radius) & (pool.section[first] != pool.section[second])
        is_allowed &= (pool.brain[first] != pool.brain[second]) == is_other_brain
        if self.geodesics is not None:
            allowed = np.flatnonzero(is_allowed)
            along = self.geodesics.between(pool.vertex[first[allowed]], pool.vertex[second[allowed]])
            distance[allowed] = along
            is_allowed[allowed] = along <= radius
        return np.where(is_allowed, self._kernel(distance), 0.0)

    def _kernel(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        weight: NDArray[np.float64] = np.exp(-2.0 * (distance / self.config.radius_mm) ** 2)
        return weight
