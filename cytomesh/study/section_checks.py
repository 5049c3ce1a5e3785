"""What `study check` looks at section by section, over processes, and what all sections of a brain share of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import ContourError, CytomeshError, StudyError, shown
from cytomesh.core.labels import LabelTable
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.study.annotation import read_annotation
from cytomesh.study.annotation_fit import check_orientation, look_at_annotation
from cytomesh.study.contours import SectionContours, parse_contours
from cytomesh.study.crop_edge import check_crop_edge
from cytomesh.study.drawn_areas import DrawnAreas
from cytomesh.study.image_checks import CheckedImage, Depth, check_image
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section
from cytomesh.study.warps import warped_plane

# Fewer are checked before processes have started.
FEW_SECTIONS = 100


class Look(Protocol):
    """Looks at images, and compares them with contours: `cytomesh.imaging.image_look.ImageLook`."""

    def __call__(self, section: Section, contours: SectionContours | None) -> tuple[list[CytomeshError], Any]:
        """Return what is wrong with a section's rings, and what is to be compared with other sections."""

    def rings(self, table: Path, sections: Sequence[Section], seen: Sequence[Any]) -> list[CytomeshError]:
        """Return what is wrong with the rings of all sections of a brain; None is seen of those not looked at."""

    def stains(self, manifest: Path, sections: Sequence[Section], seen: Sequence[Any]) -> list[CytomeshError]:
        """Return which sections of a brain are not lit or stained like its others, and if none can be normalised."""


@dataclass(frozen=True, slots=True)
class CheckedSection:
    """What was found of one section: its image if it is whole, its contours if they are right, and what is wrong."""

    image: CheckedImage | None
    contours: SectionContours | None
    problems: list[CytomeshError]
    misfits: list[CytomeshError] = field(default_factory=list)  # of its rings to its image
    seen: Any = None
    misplaced: list[CytomeshError] = field(default_factory=list)  # labels of its annotation
    shares: NDArray[np.float64] | None = None
    warnings: list[ContourError] = field(default_factory=list)  # what may be meant so


def check_section(section: Section, *, labels: LabelTable | None, depth: Depth, look: Look | None) -> CheckedSection:
    """Read the files of one section."""
    problems: list[CytomeshError] = []
    image = check_image(section, depth, problems)
    contours: SectionContours | None = None
    if section.contours is not None:
        contours, faults = parse_contours(section)
        problems += faults
        # rings at fault would only be reported once more by the comparison
        contours = None if faults else contours
    warnings = [] if image is None or contours is None else check_crop_edge(section, image.header.shape, contours)
    checked = CheckedSection(image, contours, problems, warnings=warnings)
    if look is not None and depth != "quick" and image is not None and image.is_seen:
        misfits, seen = attempt(problems, partial(look, section, contours)) or ([], None)
        checked = replace(checked, misfits=misfits, seen=seen)
    attempt(problems, lambda: warped_plane(section))
    if section.annotation is not None and labels is not None:
        before = len(problems)
        annotation = attempt(problems, lambda: read_annotation(section, labels))
        if isinstance(annotation, DrawnAreas) and annotation.overlap is not None:
            warnings.append(annotation.overlap)
        if annotation is not None and contours is not None:
            misplaced, shares = look_at_annotation(section, annotation, contours)
            checked = replace(checked, misplaced=misplaced, shares=None if checked.misfits else shares)
        # An image that cannot be read has been reported already.
        problems[before:] = [p for p in problems[before:] if section.image is None or p.source != shown(section.image)]
    return checked


def check_sections(
    check: Callable[[Section], CheckedSection],
    sections: Sequence[Section],
    brain: str,
    manifest: Path,
    workers: int,
    scheduler: str | None,
) -> list[CheckedSection]:
    """Check the sections of a brain; one whose worker dies has that as its problem."""
    tasks = [SectionTask(section.name, section) for section in sections]
    died: dict[str, CytomeshError] = {}
    found = map_sections(
        check,
        tasks,
        doing=f"check {brain}",
        workers=workers if len(sections) > FEW_SECTIONS else 1,
        scheduler=scheduler,
        seen=manifest,
        left_out=died,
    )
    checked = {task.name: item for task, item in found}
    return [checked.get(section.name) or CheckedSection(None, None, [died[section.name]]) for section in sections]


def problems_together(
    manifest: Path, table: Path, sections: Sequence[Section], checked: Sequence[CheckedSection], look: Look | None
) -> list[CytomeshError]:
    """Return what is wrong with sections: what all of them share is said once, instead of for each."""
    problems = [problem for item in checked for problem in item.problems]
    seen = [item.seen for item in checked]
    rings = look.rings(table, sections, seen) if look is not None else []
    areas = check_orientation(table, sections, [item.shares for item in checked])
    for shared, single in (
        (rings, [problem for item in checked for problem in item.misfits]),
        (areas, [problem for item in checked for problem in item.misplaced]),
    ):
        is_said = any(isinstance(problem, StudyError) for problem in shared)
        named = {problem.place for problem in single}
        problems += shared if is_said else [*single, *(problem for problem in shared if problem.place not in named)]
    return problems + (look.stains(manifest, sections, seen) if look is not None else [])
