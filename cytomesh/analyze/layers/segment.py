"""Sections segmented one by one, by processes of this machine or a cluster; what was done before is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from cytomesh.analyze.layers.classes import N_LAYERS
from cytomesh.analyze.layers.methods import Methods, ordered
from cytomesh.analyze.layers.order import boundary_depths, layer_shares
from cytomesh.analyze.layers.output import section_stem, write_section
from cytomesh.analyze.layers.results import Results, score_view
from cytomesh.analyze.layers.section_results import SectionResults, read_section_results
from cytomesh.analyze.layers.sections import LinkedSection
from cytomesh.analyze.layers.tally import SIDES
from cytomesh.analyze.layers.views import Job, views_of
from cytomesh.core.distributed import find_device, intra_op_threads
from cytomesh.core.errors import CytomeshError, QualityError
from cytomesh.core.files import clear_partial, digest, remove
from cytomesh.core.parallel import available_cpus
from cytomesh.core.section_log import SectionLog
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.imaging.pyramid import open_section

FOUND = ".found"
SECTIONS_PER_WORKER = 8
"""A process takes as long to begin as some sections."""
PROCESSES_PER_GPU = 4
"""Networks are small, and most of the work on a section is the processor's."""


@dataclass(frozen=True, slots=True)
class SegmentSection:
    """Segments a section by the first encoder and, where it is scored, by all others; writes what the first finds.

    All compute with one thread: what they find does not depend on where.
    """

    job: Job
    methods: Methods

    def __call__(self, linked: LinkedSection) -> None:
        """Write masks and contours, and the results to `found_path`."""
        device = find_device(self.job.settings.device)
        for model in self.methods.models.values():
            model.to(device)
        with threadpool_limits(1), intra_op_threads(1):
            self._segment(linked).write(found_path(self.job, linked))

    def _segment(self, linked: LinkedSection) -> SectionResults:
        job, section = self.job, linked.section
        scored = job.sides_in(linked) & set(SIDES)
        merged, true_pixels = None, None
        found = SectionResults()
        views = views_of(job, linked)
        with open_section(linked.section) as image:
            for view in views:
                for order, (method, (probabilities, own)) in enumerate(self.methods.each(job, linked, view, image)):
                    boundaries = boundary_depths(ordered(job, view.ribbon, probabilities), N_LAYERS)
                    painted = view.ribbon.paint(boundaries)
                    found.keep(method, linked, view, layer_shares(boundaries))
                    if scored and view.truth is not None:
                        score_view(linked, view, method, boundaries, painted, own, found)
                    if order == 0:
                        merged = painted if merged is None else np.where(painted > 0, painted, merged)
                        true_pixels = view.true_pixels
                    if not scored:
                        break
        if merged is not None:
            grid = views[0].ribbon.grid
            truth = None if true_pixels is None else np.maximum(true_pixels, 0).astype(np.uint8)
            write_section(job.folder, section, grid, merged, truth)
        return found


def found_path(job: Job, linked: LinkedSection) -> Path:
    """Return where the results of a section wait for those of the others."""
    return job.folder / FOUND / f"{section_stem(*linked.key)}.npz"


def segment_sections(
    job: Job,
    wanted: Sequence[LinkedSection],
    methods: Methods,
    *,
    workers: int = 0,
    scheduler: str | None = None,
) -> tuple[Results, dict[str, CytomeshError]]:
    """Segment sections; returns what they leave, and what is wrong with those that are left out.

    Raises
    ------
    CytomeshError
        For the first section that cannot be segmented, unless `on_bad_section: skip`.
    QualityError
        If none that is scored can be.
    """
    key = _key(methods)
    tasks = [SectionTask(linked.section.name, linked, key, found_path(job, linked)) for linked in wanted]
    left_out: dict[str, CytomeshError] = {}
    n_cpus, on_cpu = available_cpus(), find_device(job.settings.device).type == "cpu"
    usual = n_cpus if on_cpu else min(n_cpus, PROCESSES_PER_GPU)
    n_workers = min(workers or usual, max(1, len(tasks) // SECTIONS_PER_WORKER))
    if n_workers > 1 or scheduler:
        for model in methods.models.values():
            model.cpu()  # others may have another device, or none
    states = SectionLog(job.folder)
    done = map_sections(
        SegmentSection(job, methods),
        tasks,
        doing="segment sections",
        workers=n_workers,
        scheduler=scheduler,
        states=states,
        left_out=left_out if job.settings.on_bad_section == "skip" else None,
    )
    results = Results.empty(job, [*methods.models, *methods.baselines])
    for task, _ in done:
        results.add(job, task.item, read_section_results(found_path(job, task.item)))
    if not results.tally.scores:
        reasons = "; ".join(str(problem) for problem in list(left_out.values())[:3])
        raise QualityError(job.folder, found=f"no section that is scored ({reasons})", expected="at least one")
    clear_partial(job.folder)  # of killed workers
    remove(job.folder / FOUND)
    states.remove()
    return results, left_out


def _key(methods: Methods) -> str:
    """Return the identity of what segments: settings and inputs are those of the product that grows."""
    weights = {
        f"{name} {key}": digest(value.detach().cpu().numpy())
        for name, model in methods.models.items()
        for key, value in model.state_dict().items()
    }
    return digest(weights, dict(methods.trusts), methods.prior.probabilities)
