"""One hemisphere in one section as this analysis sees it: ribbon, columns, sides of the split, and what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.analyze.layers.config import LayersConfig
from cytomesh.analyze.layers.ribbon import Grid, SectionRibbon
from cytomesh.analyze.layers.sections import LinkedSection, column_sides, ribbons_of
from cytomesh.analyze.layers.truth import TruthFiles, column_truth, read_truth
from cytomesh.classify.splits import NodeSplit
from cytomesh.graph.storage import CortexGraph
from cytomesh.imaging.pyramid import Pyramid
from cytomesh.study.contours import read_contours


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


@dataclass(frozen=True, slots=True)
class View:
    """One hemisphere of a section: its graph's number, ribbon, sides and true layers of columns, truth on the grid."""

    number: int
    ribbon: SectionRibbon
    sides: NDArray[np.str_]
    truth: NDArray[np.int32] | None
    true_pixels: NDArray[np.int32] | None


def views_of(job: Job, linked: LinkedSection, image: Pyramid) -> list[View]:
    """Return the views of a section, one a hemisphere with image links."""
    section = linked.section
    grid = Grid.of(image.shape, section.um_per_px, job.um_per_px)
    contours = read_contours(section)
    path = job.files.get(linked.key)
    drawn = None if path is None else read_truth(path, section, image.shape, job.settings.truth)
    views = []
    for number, ribbon in ribbons_of(linked, job.graphs, contours, grid, job.settings.depths):
        sides = column_sides(ribbon.columns, linked.parts[number], job.split.sides[number])
        if path is None or drawn is None:
            views.append(View(number, ribbon, sides, None, None))
            continue
        rows, columns = np.mgrid[: grid.shape[0], : grid.shape[1]]
        at = grid.image_pixels(np.stack([columns, rows], axis=-1).reshape(-1, 2))
        true_pixels = drawn.sample(at).reshape(grid.shape)
        # where an atlas' side has no part in the split, what was drawn there need not cover it
        truth = column_truth(path, section, drawn, ribbon.columns) if (sides != "").any() else None
        views.append(View(number, ribbon, sides, truth, true_pixels))
    return views
