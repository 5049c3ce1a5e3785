"""Check a whole study and find every problem at once: manifest, tables, transforms, atlas, images, contours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import regular_size
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.study.annotation import read_annotation
from cytomesh.study.annotation_fit import check_orientation, look_at_annotation
from cytomesh.study.atlas import load_atlas
from cytomesh.study.contour_stack import check_stack, check_white
from cytomesh.study.contours import SectionContours, parse_contours
from cytomesh.study.extent import check_extent, check_hemispheres
from cytomesh.study.image_checks import CheckedImage, Depth, check_channels, check_image, check_windows
from cytomesh.study.manifest import BrainConfig, Manifest, SurfaceFiles
from cytomesh.study.neighbours import check_neighbours, check_sides
from cytomesh.study.placement import check_maps, check_placement, ring_points
from cytomesh.study.problems import absent_files, attempt
from cytomesh.study.sections import Section, positions
from cytomesh.study.study import load_labels, load_sections
from cytomesh.study.tolerant import tolerant_manifest
from cytomesh.study.transforms import load_transform
from cytomesh.study.warps import warped_plane

# Fewer are checked before processes have started.
FEW_SECTIONS = 100
Surface = Callable[[Path], NDArray[np.float64]]
"""Reads the vertices of a surface file, (n, 3) mm."""


class Look(Protocol):
    """Looks at images, and compares them with contours: `cytomesh.imaging.image_look.ImageLook`."""

    def __call__(self, section: Section, contours: SectionContours | None) -> tuple[list[CytomeshError], Any]:
        """Return what is wrong with a section's rings, and what is to be compared with other sections."""

    def rings(self, table: Path, sections: Sequence[Section], seen: Sequence[Any]) -> list[CytomeshError]:
        """Return what is wrong with the rings of all sections of a brain; None is seen of those not looked at."""

    def stains(self, sections: Sequence[Section], seen: Sequence[Any]) -> list[CytomeshError]:
        """Return which sections of a brain are not lit or stained like its others."""


@dataclass(frozen=True, slots=True)
class _Checked:
    """What was found of one section: its image if it is whole, its contours if they are right, and what is wrong."""

    image: CheckedImage | None
    contours: SectionContours | None
    problems: list[CytomeshError]
    misfits: list[CytomeshError] = field(default_factory=list)  # of its rings to its image
    seen: Any = None
    misplaced: list[CytomeshError] = field(default_factory=list)  # labels of its annotation
    shares: NDArray[np.float64] | None = None


LookAtSurfaces = Callable[
    [Mapping[str, SurfaceFiles], Sequence[Section], Sequence[SectionContours | None], Depth], list[CytomeshError]
]


@dataclass(frozen=True, slots=True)
class BrainSummary:
    """What one brain consists of; `first_mm` and `last_mm` are plane positions along the stack."""

    id: str
    role: str
    hemispheres: str
    n_sections: int
    n_images: int
    n_contours: int
    n_annotations: int
    n_missing: int
    n_damaged: int
    first_mm: float
    last_mm: float


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a study consists of, and everything that is wrong with it.

    Parameters
    ----------
    path : Path
        The manifest.
    name, species, stain, space : str
        As in the manifest; empty if it cannot be read.
    n_areas : int
        Rows of the label table.
    has_probability_maps : bool
        Whether there are probability maps.
    brains : tuple of BrainSummary
        One a brain that could be read.
    problems : tuple of CytomeshError
        Each names its file and the place in it; empty if all is well.
    """

    path: Path
    name: str = ""
    species: str = ""
    stain: str = ""
    space: str = ""
    n_areas: int = 0
    has_probability_maps: bool = False
    brains: tuple[BrainSummary, ...] = ()
    problems: tuple[CytomeshError, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, for JSON."""
        facts = {
            name: getattr(self, name)
            for name in ("name", "species", "stain", "space", "n_areas", "has_probability_maps")
        }
        problems = [
            {
                "file": problem.source,
                "place": problem.place,
                "found": problem.found,
                "expected": problem.expected,
                "hint": problem.hint,
            }
            for problem in self.problems
        ]
        return {
            "path": str(self.path),
            **facts,
            "brains": [asdict(brain) for brain in self.brains],
            "problems": problems,
        }


def check_study(
    path: Path,
    depth: Depth = "usual",
    look: Look | None = None,
    workers: int = 1,
    surface: Surface | None = None,
    own: LookAtSurfaces | None = None,
    scheduler: str | None = None,
) -> CheckReport:
    """Read everything a manifest refers to and report all problems; never raises for them.

    Parameters
    ----------
    path : Path
        The manifest.
    depth : {"quick", "usual", "thorough"}
        Of images: headers only; the places, too, where a file that was cut off ends; or every pixel.
    look : Look, optional
        Looks at images; not if quick.
    workers : int
        Processes.
    surface : callable, optional
        Reads the template's surfaces; without it, brains are not compared with them.
    own : callable, optional
        Compares surfaces that the study gives with its sections: `cytomesh.graph.own_surfaces.check_own_surfaces`.
    scheduler : str or None
        Address of a Dask scheduler whose workers read the sections.
    """
    path = path.resolve()
    problems: list[CytomeshError] = []
    manifest = tolerant_manifest(path, problems)
    if manifest is None:
        return CheckReport(path, problems=tuple(problems))
    folder = path.parent
    labels = attempt(problems, lambda: load_labels(manifest, path))
    template = _read_template(manifest, path, surface, problems)
    has_maps, maps = _check_atlas(manifest, labels, path, template, problems)
    images: list[CheckedImage] = []
    areas = None if manifest.atlas is None else labels
    brains = []
    for settings in manifest.brains:
        transform = attempt(problems, lambda settings=settings: load_transform(settings.to_reference, folder))  # type: ignore[misc]
        table = folder / settings.sections
        sections, found = load_sections(settings, manifest, path)
        problems += found
        check = partial(_check_section, labels=areas, depth=depth, look=look)
        checked = _each_checked(check, sections, settings.id, path, workers, scheduler)
        own_images = [item.image for item in checked if item.image is not None]
        images += own_images
        problems += check_windows(path, settings.id, own_images)
        problems += _together(table, sections, checked, look)
        contours = [item.contours for item in checked]
        misfits: list[CytomeshError] = [*check_extent(table, settings.id, sections, contours)]
        if not misfits and transform is not None:
            misfits = check_placement(path, settings.id, ring_points(sections, contours), transform, template, maps)
        problems += misfits
        problems += check_hemispheres(table, settings.hemispheres, sections, contours)
        problems += [problem for _, problem in check_stack(sections, contours).problems]
        rebuilt = [side for side in settings.hemispheres if side not in settings.surfaces]
        problems += check_white(table, rebuilt, sections, contours)
        given = {str(side): files.within(folder) for side, files in settings.surfaces.items()}
        for name, files in given.items():
            problems += absent_files(path, f"brains.{settings.id}.surfaces.{name}", files.files)
        if own is not None:
            problems += own(given, sections, contours, depth)
        problems += check_sides(table, sections, contours)
        problems += check_neighbours(table, sections, contours)
        n_annotated = sum(section.annotation is not None for section in sections)
        if manifest.atlas is None and n_annotated:
            problems.append(
                StudyError(
                    path,
                    "atlas",
                    found=f"annotations of {n_annotated} sections of {settings.id}, and nothing that names their areas",
                    expected="a label table",
                    hint="give atlas: {labels: labels.tsv, space: ...} in the manifest, or write n/a for annotations",
                )
            )
        brains.append(_summary(settings, sections))
    problems += check_channels(images)
    return CheckReport(
        path=path,
        name=manifest.name,
        species=manifest.species,
        stain=manifest.stain,
        space=manifest.space.name,
        n_areas=len(labels) if labels is not None else 0,
        has_probability_maps=has_maps,
        brains=tuple(brains),
        problems=tuple(problems),
    )


def _each_checked(
    check: Callable[[Section], _Checked],
    sections: Sequence[Section],
    brain: str,
    manifest: Path,
    workers: int,
    scheduler: str | None,
) -> list[_Checked]:
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
    return [checked.get(section.name) or _Checked(None, None, [died[section.name]]) for section in sections]


def _together(
    table: Path, sections: Sequence[Section], checked: Sequence[_Checked], look: Look | None
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
    return problems + (look.stains(sections, seen) if look is not None else [])


def _read_template(
    manifest: Manifest, path: Path, surface: Surface | None, problems: list[CytomeshError]
) -> dict[str, NDArray[np.float64]]:
    """Read the template's surfaces; returns the vertices of the pial ones by hemisphere."""
    found: dict[str, NDArray[np.float64]] = {}
    for side, surfaces in manifest.space.template.items():
        for kind in ("pial", "white"):
            file = path.parent / getattr(surfaces, kind)
            place = f"space.template.{side}.{kind}"
            try:
                regular_size(file)
            except OSError as cause:
                what = "no such file" if isinstance(cause, FileNotFoundError) else cause.strerror or str(cause)
                problems.append(StudyError(path, place, found=f"{what}: {str(file)[:200]}", hint="correct the path"))
                continue
            vertices = attempt(problems, partial(surface, file)) if surface else None
            if vertices is not None and kind == "pial":
                found[side] = vertices
    return found


def _check_atlas(
    manifest: Manifest,
    labels: LabelTable | None,
    path: Path,
    template: Mapping[str, NDArray[np.float64]],
    problems: list[CytomeshError],
) -> tuple[bool, NDArray[np.float64] | None]:
    """Check the maps; return whether there are any, and where areas are probable if they are right."""
    settings = manifest.atlas
    if settings is None or labels is None:
        return False, None
    atlas = attempt(problems, lambda: load_atlas(settings, labels, manifest.space.name, path))
    maps = attempt(problems, atlas.check) if atlas is not None else None
    if atlas is not None and maps is not None:
        misfits = check_maps(atlas.source, maps, template)
        problems += misfits
        maps = None if misfits else maps
    return settings.probability_maps is not None, maps


def _check_section(section: Section, *, labels: LabelTable | None, depth: Depth, look: Look | None) -> _Checked:
    """Read the files of one section."""
    problems: list[CytomeshError] = []
    image = check_image(section, depth, problems)
    contours: SectionContours | None = None
    if section.contours is not None:
        contours, faults = parse_contours(section)
        problems += faults
        # rings at fault would only be reported once more by the comparison
        contours = None if faults else contours
    checked = _Checked(image, contours, problems)
    if look is not None and depth != "quick" and image is not None and image.is_seen:
        misfits, seen = attempt(problems, partial(look, section, contours)) or ([], None)
        checked = replace(checked, misfits=misfits, seen=seen)
    attempt(problems, lambda: warped_plane(section))
    if section.annotation is not None and labels is not None:
        before = len(problems)
        annotation = attempt(problems, lambda: read_annotation(section, labels))
        if annotation is not None and contours is not None:
            misplaced, shares = look_at_annotation(section, annotation, contours)
            checked = replace(checked, misplaced=misplaced, shares=None if checked.misfits else shares)
        # An image that cannot be read has been reported already.
        problems[before:] = [p for p in problems[before:] if section.image is None or p.source != str(section.image)]
    return checked


def _summary(settings: BrainConfig, sections: tuple[Section, ...]) -> BrainSummary:
    offsets = positions(sections)
    statuses = [section.status for section in sections]
    return BrainSummary(
        id=settings.id,
        role=settings.role,
        hemispheres="".join(settings.hemispheres),
        n_sections=len(sections),
        n_images=sum(section.image is not None for section in sections),
        n_contours=sum(section.contours is not None for section in sections),
        n_annotations=sum(section.annotation is not None for section in sections),
        n_missing=statuses.count("missing"),
        n_damaged=statuses.count("damaged"),
        first_mm=float(offsets[0]) if len(offsets) else 0.0,
        last_mm=float(offsets[-1]) if len(offsets) else 0.0,
    )
