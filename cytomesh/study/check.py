"""Check a whole study and find every problem at once: manifest, tables, transforms, atlas, images, contours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.labels import LabelTable
from cytomesh.core.reading import regular_size
from cytomesh.study.atlas import load_atlas
from cytomesh.study.check_report import CheckReport, summarise
from cytomesh.study.contour_stack import check_stack, check_white
from cytomesh.study.contours import SectionContours
from cytomesh.study.extent import check_extent, check_hemispheres, check_image_sizes
from cytomesh.study.image_checks import CheckedImage, Depth, check_channels, check_windows
from cytomesh.study.manifest import Manifest, SurfaceFiles
from cytomesh.study.neighbours import check_neighbours, check_sides
from cytomesh.study.placement import check_maps, check_placement, ring_points
from cytomesh.study.problems import absent_files, attempt
from cytomesh.study.section_checks import Look, check_section, check_sections, problems_together
from cytomesh.study.sections import Section
from cytomesh.study.start_text import TODO
from cytomesh.study.study import load_labels, load_sections
from cytomesh.study.tolerant import to_fill_in, tolerant_manifest
from cytomesh.study.transforms import load_transform

Surface = Callable[[Path], NDArray[np.float64]]
"""Reads the vertices of a surface file, (n, 3) mm."""
LookAtSurfaces = Callable[
    [Mapping[str, SurfaceFiles], Sequence[Section], Sequence[SectionContours | None], Depth], list[CytomeshError]
]


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
    warnings: list[CytomeshError] = []
    manifest = tolerant_manifest(path, problems)
    if manifest is None:
        return CheckReport(path, problems=tuple(problems))
    folder = path.parent
    for key, value in {"species": manifest.species, "stain": manifest.stain, "space.name": manifest.space.name}.items():
        if value == TODO:
            problems.append(to_fill_in(path, key))
    labels = attempt(problems, lambda: load_labels(manifest, path))
    warnings += [] if manifest.atlas is None or labels is None else _alike(folder / manifest.atlas.labels, labels)
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
        check = partial(check_section, labels=areas, depth=depth, look=look)
        checked = check_sections(check, sections, settings.id, path, workers, scheduler)
        own_images = [item.image for item in checked if item.image is not None]
        images += own_images
        problems += check_windows(path, settings.id, own_images)
        problems += problems_together(path, table, sections, checked, look)
        warnings += [warning for item in checked for warning in item.warnings]
        warnings += check_image_sizes(table, settings.id, sections, [item.image for item in checked])
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
        brains.append(summarise(settings, sections))
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
        warnings=tuple(warnings),
    )


def _alike(table: Path, labels: LabelTable) -> list[CytomeshError]:
    hint = "give them one name, in the annotations, too, if they are one area"
    return [
        StudyError(
            table,
            found=f"areas {', '.join(names)}",
            expected="names that differ in more than case or spaces",
            hint=hint,
        )
        for names in labels.alike()
    ]


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
