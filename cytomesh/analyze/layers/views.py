"""One hemisphere in one section as this analysis sees it: ribbon, columns, sides of the split, and what was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.ribbon import Grid, SectionRibbon
from cytomesh.analyze.layers.sections import LinkedSection, column_sides, ribbons_of
from cytomesh.analyze.layers.truth import TruthFiles, column_truth, on_grid, read_truth
from cytomesh.classify.splits import NodeSplit
from cytomesh.core.parallel import map_ahead
from cytomesh.core.progress import track
from cytomesh.graph.storage import CortexGraph
from cytomesh.study.contours import read_contours
from cytomesh.study.image_formats.registry import read_header


@dataclass(frozen=True, slots=True)
class Job:
    """What a run of this stage works on.

    Parameters
    ----------
    folder : Path
        To write to.
    settings : LayersConfig
    um_per_px : float
        Pixel size of the segmentation.
    graphs : sequence of CortexGraph
    sections : list of LinkedSection
    files : dict
        Truth by brain and section.
    split : NodeSplit
        Sides of the nodes whose sections have truth.
    """

    folder: Path
    settings: LayersConfig
    um_per_px: float
    graphs: Sequence[CortexGraph]
    sections: list[LinkedSection]
    files: TruthFiles
    split: NodeSplit

    def sides_in(self, linked: LinkedSection) -> set[str]:
        """Return the sides of the nodes linked to a section."""
        return {str(s) for number, part in linked.parts.items() for s in self.split.sides[number][part.rows]} - {""}

    def of_every(self, n: int) -> Job:
        """Return the same with every n-th section of each side of each brain."""
        groups: dict[tuple[str, ...], list[LinkedSection]] = {}
        for linked in self.sections:
            groups.setdefault((linked.section.brain, *sorted(self.sides_in(linked))), []).append(linked)
        return replace(self, sections=[linked for group in groups.values() for linked in group[::n]])


@dataclass(frozen=True, slots=True)
class View:
    """One hemisphere of a section: its graph's number, ribbon, sides and true layers of columns, truth on the grid."""

    number: int
    ribbon: SectionRibbon
    sides: NDArray[np.str_]
    truth: NDArray[np.int32] | None
    true_pixels: NDArray[np.int32] | None


def views_of(job: Job, linked: LinkedSection) -> list[View]:
    """Return the views of a section, one per hemisphere with image links."""
    section = linked.section
    shape = read_header(linked.image, section.image_part).shape
    grid = Grid.of(shape, section.um_per_px, job.um_per_px)
    contours = read_contours(section)
    path = job.files.get(linked.key)
    drawn = None if path is None else read_truth(path, section, shape, job.settings.truth)
    true_pixels = None if drawn is None else on_grid(drawn, grid)
    views = []
    for number, ribbon in ribbons_of(linked, job.graphs, contours, grid, job.settings.depths):
        sides = column_sides(ribbon.columns, linked.parts[number], job.split.sides[number])
        if path is None or drawn is None:
            views.append(View(number, ribbon, sides, None, None))
            continue
        # where an atlas' side has no part in the split, what was drawn there need not cover it
        truth = column_truth(path, section, drawn, ribbon.columns) if (sides != "").any() else None
        views.append(View(number, ribbon, sides, truth, true_pixels))
    return views


def each_view(job: Job, sections: Sequence[LinkedSection], doing: str) -> Iterator[tuple[LinkedSection, list[View]]]:
    """Yield sections with their views, the next ones made while one is worked on."""
    with closing(map_ahead(partial(views_of, job), sections, 1)) as ahead:
        yield from zip(sections, track(ahead, doing, len(sections), unit="sections"), strict=True)
