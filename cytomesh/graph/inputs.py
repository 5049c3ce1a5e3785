"""What build-graph reads of a section: its contours and its image's size, in parallel, bad ones left out on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon

from cytomesh.core.errors import ContourError, CytomeshError, ImageError, TransformError
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.graph.curves import stacking_axis
from cytomesh.graph.links import LinkSection
from cytomesh.graph.nearest import nearest_planes
from cytomesh.study.contours import HEMISPHERES, SectionContours, read_contours
from cytomesh.study.image_formats.registry import read_header
from cytomesh.study.planes import SectionPlane
from cytomesh.study.section_order import positions
from cytomesh.study.sections import Section
from cytomesh.study.warps import warped_plane
from cytomesh.surface.alignment import Alignment, align_sections
from cytomesh.surface.config import AlignmentConfig
from cytomesh.surface.stack import PlaneContours

SECTIONS_PER_WORKER = 100  # starting a process costs about as much as reading this many contour files


@dataclass(frozen=True)
class SectionInput:
    """One section as read.

    Parameters
    ----------
    section : Section
    contours : SectionContours or None
        None for a section without contours; only of hemispheres that are right.
    shape : (int, int) or None
        Height and width of the image, px; None for a section without image.
    problem : CytomeshError or None
        Why the section is left out of this hemisphere.
    plane : SectionPlane
        Where the section lies, its in-plane displacement and correction included.
    """

    section: Section
    plane: SectionPlane
    contours: SectionContours | None = None
    shape: tuple[int, int] | None = None
    problem: CytomeshError | None = None

    @property
    def drawn(self) -> SectionContours | None:
        """What the surfaces are built from: the contours, unless the section is left out."""
        return None if self.problem else self.contours


def read_inputs(
    sections: Sequence[Section],
    hemisphere: str,
    workers: int,
    skip_bad: bool,
    *,
    scheduler: str | None = None,
    manifest: Path | None = None,
) -> list[SectionInput]:
    """Read contours and image sizes of all sections, in order, for one hemisphere.

    With `skip_bad`, a section in which the rings of the other hemisphere are at fault serves this one. With a
    `scheduler`, its workers read; they must see the `manifest`.

    Raises
    ------
    ContourError, ImageError, TransformError
        For the first bad section, unless `skip_bad`.
    """
    n_workers = min(workers, max(1, len(sections) // SECTIONS_PER_WORKER))
    read = partial(_read, hemisphere=hemisphere, skip_bad=skip_bad)
    tasks = [SectionTask(section.name, section) for section in sections]
    left_out: dict[str, CytomeshError] = {}
    found = map_sections(
        read,
        tasks,
        doing="read sections",
        workers=n_workers,
        scheduler=scheduler,
        seen=manifest,
        left_out=left_out if skip_bad else None,
    )
    inputs = {task.name: item for task, item in found}
    return [inputs.get(s.name) or SectionInput(s, s.plane, problem=left_out[s.name]) for s in sections]


def plane_contours(inputs: Sequence[SectionInput], hemisphere: str) -> list[PlaneContours]:
    """Return the contours of one hemisphere, one item per section that has them drawn (empty ones included)."""
    return list(_plane_contours(inputs, hemisphere))


def _plane_contours(inputs: Sequence[SectionInput], hemisphere: str) -> Iterator[PlaneContours]:
    for item in inputs:
        if item.drawn is not None:
            # a drawn section without this hemisphere says that the hemisphere ends before it
            rings = item.drawn.get(hemisphere)
            pial, white = (rings.pial, rings.white) if rings else (MultiPolygon(), MultiPolygon())
            plane = item.plane
            yield PlaneContours(plane.to_world, straightened(pial, plane), straightened(white, plane))


def straightened(region: MultiPolygon, plane: SectionPlane) -> MultiPolygon:
    """Return a region drawn in the image in the pixels that `plane.to_world` alone maps to the world."""
    return region if plane.warp is None or region.is_empty else shapely.transform(region, plane.straight)


def align_inputs(inputs: Sequence[SectionInput], settings: AlignmentConfig) -> tuple[list[SectionInput], Alignment]:
    """Remove misalignment between neighbouring sections; contours and links both use the corrected planes.

    All hemispheres of a section move together: they are on one glass.
    """
    rings = [
        {
            f"{name}_{hemisphere}": straightened(getattr(contours, name), item.plane)
            for hemisphere, contours in (item.contours or {}).items()
            for name in ("pial", "white")
        }
        for item in inputs
    ]
    alignment = align_sections(np.stack([item.plane.to_world for item in inputs]), rings, settings)
    moved = [
        replace(item, plane=replace(item.plane, to_world=matrix))
        for item, matrix in zip(inputs, alignment.to_world, strict=True)
    ]
    return moved, alignment


def link_sections(inputs: Sequence[SectionInput]) -> list[LinkSection]:
    """Return the sections that links may lead to, and those that are missing, damaged or left out."""
    result: list[LinkSection] = []
    for item in inputs:
        section = item.section
        if item.problem is not None:
            result.append(LinkSection(section.index, item.plane, unusable="left out (see qc.html)"))
        elif section.status != "ok":
            result.append(LinkSection(section.index, item.plane, unusable=section.status))
        elif item.shape is not None:
            excluded = item.contours.exclude if item.contours else None
            result.append(LinkSection(section.index, item.plane, item.shape, excluded))
    return result


def median_spacing(sections: Sequence[Section]) -> float:
    """Return the median distance between neighbouring declared planes (missing ones included), mm."""
    steps = np.diff(np.sort(positions(list(sections))))
    return float(np.median(steps)) if steps.size else 1.0


def count_reachable(sections: Sequence[LinkSection], world: NDArray[np.float64], max_distance_mm: float) -> int:
    """Count the positions within `max_distance_mm` of the plane of a usable section."""
    planes = [section.plane for section in sections if not section.unusable]
    if not planes:
        return 0
    _, distances = nearest_planes(planes, stacking_axis(planes), world)
    return int((distances[:, 0] <= max_distance_mm).sum())


def _read(section: Section, hemisphere: str, skip_bad: bool) -> SectionInput:
    if section.status == "missing":
        return SectionInput(section, section.plane)
    try:
        plane = warped_plane(section)
        shape = read_header(section.image, section.image_part).shape if section.image else None
        contours = read_contours(section) if section.contours else None
    except (ImageError, TransformError) as problem:
        if not skip_bad:
            raise
        return SectionInput(section, section.plane, problem=problem)
    except ContourError:
        if not skip_bad:
            raise
        contours, faults = _read_each(section)
        return SectionInput(section, plane, contours, shape, faults.get(hemisphere))
    return SectionInput(section, plane, contours, shape)


def _read_each(section: Section) -> tuple[SectionContours | None, dict[str, CytomeshError]]:
    """Read each hemisphere's contours for itself: those that are right, and what is wrong with the others.

    All tasks of a brain get the same, so that alignment moves its hemispheres together.
    """
    found: list[SectionContours] = []
    faults: dict[str, CytomeshError] = {}
    for side in HEMISPHERES:
        try:
            found.append(read_contours(section, side))
        except ContourError as problem:
            faults[side] = problem
    if not found:
        return None, faults
    right = {side: rings for contours in found for side, rings in contours.items()}
    trimmed_mm2 = {side: area for contours in found for side, area in contours.trimmed_mm2.items()}
    return SectionContours(right, found[0].exclude, found[0].cut, trimmed_mm2), faults
