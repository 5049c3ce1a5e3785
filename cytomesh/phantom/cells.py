"""The cells that a phantom's sections were drawn from, one row per cell: what counts of cells are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError, MissingStageError, did_you_mean
from cytomesh.core.parallel import available_cpus, map_ordered
from cytomesh.core.progress import track
from cytomesh.core.random import generator
from cytomesh.core.tables import Table, write_table
from cytomesh.phantom.areas import draw_atlas
from cytomesh.phantom.brain import declare, draw_brain, jobs
from cytomesh.phantom.config import PhantomConfig
from cytomesh.phantom.geometry import template
from cytomesh.phantom.profiles import CELLS_UM, draw_profiles
from cytomesh.phantom.section import SectionJob, contours, section_layers
from cytomesh.phantom.stain import cells


def write_phantom_cells(
    folder: Path, *, brains: Sequence[str] = (), every: int = 1, workers: int = 0
) -> dict[str, Any]:
    """Write the cells of a finished phantom's sections; nothing that is there is changed.

    The brains are drawn again from `truth/config.yaml`, and the cells by the same random numbers as for the images.
    A phantom's cells are points: a cell belongs to the section that its centre lies in, and none is cut through.

    Parameters
    ----------
    folder : Path
        Of the study.
    brains : sequence of str
        Whose; all of them by default.
    every : int
        Every n-th section only: there are a million cells in some.
    workers : int
        Processes; 0 takes every available processor.

    Returns
    -------
    dict
        Numbers of sections and cells.

    Raises
    ------
    MissingStageError
        If there is no phantom.
    ConfigError
        If it has no such brain.
    """
    path = folder / "truth" / "config.yaml"
    if not path.is_file():
        hint = f"run 'cytomesh phantom --out {folder}' first"
        raise MissingStageError(path, found="no phantom", hint=hint)
    settings = load_config(PhantomConfig, path)
    known = [config.id for config in settings.brains]
    if unknown := [brain for brain in brains if brain not in known]:
        expected, hint = f"one of {', '.join(known)}", did_you_mean(unknown[0], known)
        raise ConfigError("--brain", found=f"no brain '{unknown[0]}'", expected=expected, hint=hint)
    with threadpool_limits(1):
        common = template(settings.hemisphere)
        atlas, seeds = draw_atlas(common, settings.areas.count, settings.seed)
        profiles = draw_profiles(common.sphere[seeds], settings.areas.contrast, settings.seed)
        queue: list[SectionJob] = []
        for config in settings.brains:
            if not brains or config.id in brains:
                brain = draw_brain(config, settings, common, atlas)
                cut = declare(brain, settings, folder)
                queue += jobs(brain, cut[::every], settings, profiles, folder)
        made = map_ordered(write_cells, queue, workers or available_cpus())
        counts = list(track(made, "cells", len(queue), "sections"))
    return {"sections": len(counts), "cells": sum(counts)}


def write_cells(job: SectionJob) -> int:
    """Write the cells of one section's cortex, (n,) rows; returns n.

    Columns: `column_px` and `row_px` (a place drawn within the cell's pixel, centres at integers), `area_um2` and
    `diameter_um` (of its size class), `layer` (1 to 6) and `area` (label).
    """
    ribbon, layers, _ = section_layers(job, *contours(job.slab, job.true, job.sections.um_per_px))
    counts = cells(ribbon, layers, job.profiles, job.sections, job.stain.density, job.seed).astype(np.int64)
    pixel, size = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), len(CELLS_UM))
    within = generator(job.seed, "places of cells").uniform(-0.5, 0.5, (len(pixel), 2))
    diameter = CELLS_UM[size]
    columns = {
        "column_px": (ribbon.columns[pixel] + within[:, 0]).astype(np.float32),
        "row_px": (ribbon.rows[pixel] + within[:, 1]).astype(np.float32),
        "area_um2": (np.pi / 4 * diameter**2).astype(np.float32),
        "diameter_um": diameter.astype(np.float32),
        "layer": layers[pixel],
        "area": ribbon.labels[pixel],
    }
    units = {"column_px": "px", "row_px": "px", "area_um2": "um2", "diameter_um": "um"}
    facts = {"um_per_px": repr(float(job.sections.um_per_px)), "brain": job.brain}
    write_table(cells_path(job.folder, job.brain, job.sample), Table(columns, units, facts))
    return len(pixel)


def cells_path(folder: Path, brain: str, sample: str) -> Path:
    """Return where the cells of a section are."""
    return folder / "truth" / f"sub-{brain}" / "sections" / f"sub-{brain}_sample-{sample}_cells.parquet"
