"""Sections for this analysis: image links by hemisphere, contours, ribbons, and the side of each column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cytomesh.analyze.layers.classes import IGNORE
from cytomesh.analyze.layers.ribbon import Columns, Grid, SectionRibbon, section_ribbon, signed_distance_px
from cytomesh.core.errors import StudyError
from cytomesh.graph.storage import CortexGraph
from cytomesh.pretrain.pool import SectionPatches, graph_sections
from cytomesh.study.annotation import AnnotationImage
from cytomesh.study.contours import SectionContours
from cytomesh.study.sections import Section
from cytomesh.study.study import Study

NAMED = 5
"""Sections that a note names; of more it says how many."""


@dataclass(frozen=True, slots=True)
class LinkedSection:
    """A section with the nodes that are linked to it.

    Parameters
    ----------
    section : Section
    parts : dict of int to SectionPatches
        Image links by the number of their graph; `rows` are node numbers.
    """

    section: Section
    parts: dict[int, SectionPatches]

    @property
    def image(self) -> Path:
        """The section's image."""
        return next(iter(self.parts.values())).image

    @property
    def key(self) -> tuple[str, int]:
        """Brain and index."""
        return self.section.brain, self.section.index


def linked_sections(study: Study, graphs: Sequence[CortexGraph]) -> tuple[list[LinkedSection], list[str]]:
    """Return the sections with image links and contours, and notes on those without contours.

    Raises
    ------
    StudyError
        If no section has both.
    """
    found: dict[tuple[str, int], LinkedSection] = {}
    for number, graph in enumerate(graphs):
        for part in graph_sections(study, graph):
            key = part.section.brain, part.section.index
            found.setdefault(key, LinkedSection(part.section, {})).parts[number] = part
    usable = [linked for linked in found.values() if linked.section.contours is not None]
    lacking = [linked.section.name for linked in found.values() if linked.section.contours is None]
    if not usable:
        hint = "declare contours in the section table: depth and the order of layers come from them"
        raise StudyError(study.path, found="no linked section with contours", expected="some", hint=hint)
    named = ", ".join(lacking[:NAMED]) + (", ..." if len(lacking) > NAMED else "")
    note = f"{len(lacking)} linked sections without contours of their own are left out: {named}"
    return usable, [note] if lacking else []


def ribbons_of(
    linked: LinkedSection, graphs: Sequence[CortexGraph], contours: SectionContours, grid: Grid, n_depths: int
) -> Iterator[tuple[int, SectionRibbon]]:
    """Yield the ribbon of each hemisphere with image links, by the number of its graph; not one without a column."""
    for number in linked.parts:
        hemisphere = graphs[number].hemisphere
        if hemisphere in contours:
            ribbon = section_ribbon(contours[hemisphere], grid, linked.section.um_per_px, n_depths)
            if len(ribbon.columns):
                yield number, ribbon


def without_other_hemispheres(truth: AnnotationImage, contours: SectionContours, hemisphere: str) -> AnnotationImage:
    """Return truth that says nothing within the other hemisphere: it may be on another side of the split."""
    labels = truth.labels
    for other in contours:
        if other != hemisphere:
            grid = Grid(labels.shape, truth.um_per_px / truth.image_um_per_px)
            labels = np.where(signed_distance_px(contours[other].pial, grid) > 0, IGNORE, labels)
    return replace(truth, labels=labels)


def column_sides(columns: Columns, part: SectionPatches, sides: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the side of the split of each column, (n,): that of the linked node next to its middle."""
    if not len(columns):
        return np.zeros(0, sides.dtype)
    nearest = cKDTree(part.pixels).query(columns.feet)[1]
    return np.asarray(sides[part.rows[nearest]])


def node_columns(columns: Columns, part: SectionPatches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes with a column at their link, and that column.

    The link of a node lies in the middle of the cortex. Where no column comes as near as a quarter of its length, the
    ribbon was cut too obliquely for one.
    """
    if not len(columns):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    away, nearest = cKDTree(columns.feet).query(part.pixels)
    near = away * part.section.um_per_px <= 0.25 * columns.length_um[nearest]
    return part.rows[near], np.asarray(nearest[near], np.int64)
