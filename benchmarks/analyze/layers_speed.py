"""Segmentation of a whole section: `python -m benchmarks.analyze.layers_speed --run RUN`.

The largest section of a run with decoders (`layers_phantom` leaves some), one thread and two: depth and columns,
tiles through encoder and decoder, layers in order, and outlines. Megapixels a second are of the section's image.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import Options, Result, main
from cytomesh.analyze.layers.order import boundary_depths, order_layers
from cytomesh.analyze.layers.output import write_section
from cytomesh.analyze.layers.ribbon import Grid, SectionRibbon, section_ribbon
from cytomesh.analyze.layers.sections import linked_sections
from cytomesh.analyze.layers.tiles import segment_ribbon
from cytomesh.analyze.layers.weights import load_segmenter
from cytomesh.core.errors import MissingStageError
from cytomesh.core.run import read_study_path
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.contours import read_contours
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.study import open_study

N_DEPTHS, OVERLAP, BATCH = 48, 0.5, 64


def measure(options: Options) -> Result:
    """Time each part; a first time is not counted, since kernels are compiled."""
    run = options.run
    folder = next(iter(sorted(run.glob("analyze/*/*.safetensors"))), None) if run else None
    if run is None or folder is None:
        raise MissingStageError(run or "--run", found="no decoder", hint="give --run with a run of segment-layers")
    rows: list[list[Any]] = []
    _timed(run, folder)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        seconds, megapixels = _timed(run, folder)
        for name, parts in zip(("wall", "of processors"), seconds, strict=True):
            rows.append([f"{threads}, {name}", *parts, megapixels / parts[1], megapixels / sum(parts)])
    columns = ("threads, seconds", "ribbon", "network", "order", "files", "Mpx/s, network", "Mpx/s, all")
    claim = f"a section of {megapixels:.1f} Mpx: {rows[0][-1]:.2f} Mpx/s with one thread, {rows[2][-1]:.2f} with two"
    return Result("Segmentation of a whole section", columns, rows, claim, {})


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _timed(run: Path, decoder: Path) -> tuple[NDArray[np.float64], float]:
    """Return the seconds of each part for the largest section, by the wall and of processors, and its megapixels."""
    sections, _ = linked_sections(open_study(read_study_path(run)), load_graphs(run))
    linked = max(sections, key=lambda one: int(np.prod(read_header(one.image).shape)))
    section, shape = linked.section, read_header(linked.image).shape
    model = load_segmenter(decoder.parent, run / "encoders" / decoder.stem)
    patches = model.encoder.patches
    um = patches.size_px * patches.um_per_px / model.decoder.size_px
    times = [_clocks()]
    contours = next(iter(read_contours(section).values()))
    ribbon: SectionRibbon = section_ribbon(contours, Grid.of(shape, section.um_per_px, um), section.um_per_px, N_DEPTHS)
    times.append(_clocks())
    with open_image(linked.image) as image:
        size_px = model.decoder.size_px
        maps = segment_ribbon(model.probabilities, image, section.um_per_px, ribbon, patches, size_px, OVERLAP, BATCH)
    times.append(_clocks())
    painted = ribbon.paint(boundary_depths(order_layers(_along(maps, ribbon)), 6))
    times.append(_clocks())
    with tempfile.TemporaryDirectory() as name:
        write_section(Path(name), section, ribbon.grid, painted, None)
    times.append(_clocks())
    return np.diff(times, axis=0).T, shape[0] * shape[1] / 1e6


def _along(maps: NDArray[np.float32], ribbon: SectionRibbon) -> NDArray[np.float32]:
    at = np.rint(ribbon.grid.pixels(ribbon.columns.points)).astype(int).clip(0)
    rows, columns = (at[..., axis].clip(max=n - 1) for axis, n in ((1, maps.shape[1]), (0, maps.shape[2])))
    return np.moveaxis(maps[1:7, rows, columns], 0, -1)


if __name__ == "__main__":
    main(measure, __doc__, takes_run=True)
