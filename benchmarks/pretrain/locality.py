"""What a rank opens: sections that its patches of a step come from, and how many of them are still open from before.

Claim: with ranks by slabs of sections, a third of what 64 ranks need is open already where 32 sections are kept open,
and 85 % where 128 are; seeds that stay with their neighbours find 1 % and 4 %. A million patches of ten brains in
4,000 sections, 2,048 a batch; nothing is read: the batches are drawn as for training.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Options, Result, main
from benchmarks.pretrain.sampling import cortex
from cytomesh.pretrain.config import SamplingConfig
from cytomesh.pretrain.pool import PatchPool
from cytomesh.pretrain.sampling import PatchSampler

N_RANKS = 64
N_SECTIONS = 4000
KEPT_OPEN = (32, 64, 128, 256)
WARM_UP = 20
COLUMNS = ("ranks take", "kept open", "sections a step", "found open", "opened a step", "of all, ever opened")


class Kept:
    """Sections that stay open: those used last."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.sections: OrderedDict[int, None] = OrderedDict()

    def use(self, section: int) -> bool:
        """Return whether a section was open."""
        was_open = section in self.sections
        self.sections[section] = None
        self.sections.move_to_end(section)
        if len(self.sections) > self.capacity:
            self.sections.popitem(last=False)
        return was_open


def stacked(n_patches: int, n_sections: int) -> PatchPool:
    """Return the patches of real cortex in so many sections, evenly over the ten brains."""
    pool = cortex(n_patches)
    n_brains = int(pool.brain.max()) + 1
    y = pool.position[:, 1]
    share = (y - y.min()) / (np.ptp(y) * (1 + 1e-9))
    thickness = n_sections // n_brains
    return replace(pool, section=pool.brain * thickness + (share * thickness).astype(np.int64))


def opened(
    batches: list[NDArray[np.int64]], sampler: PatchSampler, by_section: bool, capacity: int
) -> tuple[float, float, float, float]:
    """Return, of a rank: sections a step, share found open, opened a step, share of all that it ever opened."""
    kept = [Kept(capacity) for _ in range(N_RANKS)]
    ever: list[set[int]] = [set() for _ in range(N_RANKS)]
    n_used = n_open = 0
    for step, batch in enumerate(batches):
        section = sampler.pool.section[batch.ravel()]
        for rank, share in enumerate(sampler.shares(batch, N_RANKS, by_section=by_section)):
            used = np.unique(section[share]).tolist()
            hits = [kept[rank].use(number) for number in used]
            ever[rank].update(used)
            if step >= WARM_UP:
                n_used += len(used)
                n_open += sum(hits)
    n_steps = (len(batches) - WARM_UP) * N_RANKS
    n_ever = float(np.mean([len(sections) for sections in ever]))
    return n_used / n_steps, n_open / n_used, (n_used - n_open) / n_steps, n_ever / N_SECTIONS


def measure(options: Options) -> Result:
    """Draw the same batches for both ways; the quick form takes a smaller pool and fewer steps."""
    n_patches, n_steps = (100_000, 40) if options.quick else (1_000_000, 200)
    config = SamplingConfig(seeds_per_batch=512, neighbours=3, radius_mm=6.0)
    sampler = PatchSampler(stacked(n_patches, N_SECTIONS), config, 0)
    batches = [sampler.draw(step) for step in range(n_steps)]
    rows: list[list[Any]] = []
    for name, by_section in (("seeds with their neighbours", False), ("slabs of sections", True)):
        rows += [[name, n, *opened(batches, sampler, by_section, n)] for n in KEPT_OPEN]
    before, after = rows[0], rows[len(KEPT_OPEN)]
    wide = rows[2][4] / rows[len(KEPT_OPEN) + 2][4]
    claim = (
        f"{config.batch_size:,} of {n_patches:,} patches over {N_RANKS} ranks, {KEPT_OPEN[0]} of {N_SECTIONS:,}"
        f" sections kept open: {after[3]:.0%} found open, {before[3]:.1%} with seeds' neighbours,"
        f" {before[4] / after[4]:.1f} times fewer opened; {wide:.1f} times fewer with {KEPT_OPEN[2]} kept open"
    )
    return Result("Sections that a rank opens", COLUMNS, rows, claim)


if __name__ == "__main__":
    main(measure, __doc__)
