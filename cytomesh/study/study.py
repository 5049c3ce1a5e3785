"""A study: what the manifest describes, opened and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cytomesh.core.errors import AtlasError, CytomeshError, StudyError, did_you_mean
from cytomesh.core.labels import LabelTable
from cytomesh.study.atlas import Atlas, load_atlas, read_labels
from cytomesh.study.contour_formats.features import IGNORE
from cytomesh.study.manifest import (
    BrainConfig,
    BrainRole,
    Hemisphere,
    Manifest,
    SurfaceFiles,
    TemplateSurfaces,
    read_manifest,
)
from cytomesh.study.problems import raise_problems
from cytomesh.study.roots import refuse_outside
from cytomesh.study.sections import Section, parse_sections
from cytomesh.study.transforms import ReferenceTransform, load_transform


@dataclass(frozen=True, slots=True)
class Brain:
    """One specimen.

    Parameters
    ----------
    id : str
        Name of the brain.
    role : {"train", "transfer", "unseen"}
        train: labels are used; transfer: images without labels; unseen: not used before testing.
    hemispheres : tuple of {"L", "R"}
        Hemispheres to reconstruct.
    sections : tuple of Section
        All declared sections, missing ones too, sorted by plane position.
    to_reference : ReferenceTransform
        World space of this brain to the reference space.
    surfaces : dict of {"L", "R"} to SurfaceFiles
        Hemispheres whose surfaces are given, absolute paths; those of the others are rebuilt from contours.
    """

    id: str
    role: BrainRole
    hemispheres: tuple[Hemisphere, ...]
    sections: tuple[Section, ...]
    to_reference: ReferenceTransform
    surfaces: Mapping[str, SurfaceFiles] = field(default_factory=dict)

    def section(self, index: int) -> Section:
        """Return the section with this number."""
        for section in self.sections:
            if section.index == index:
                return section
        raise StudyError(self.id, found=f"no section {index}", expected="a section that the brain's table lists")


@dataclass(frozen=True, slots=True)
class Study:
    """What one manifest describes.

    Parameters
    ----------
    name, species, stain : str
        As in the manifest.
    path : Path
        Where the manifest is.
    manifest : Manifest
        As it was read.
    brains : tuple of Brain
        In the manifest's order, at least one.
    labels : LabelTable
        Areas; empty if the study has no atlas.
    atlas : Atlas or None
        Probability maps, if there are any.
    space : str
        Name of the reference space.
    template : dict of {"L", "R"} to TemplateSurfaces
        Surfaces of the reference space, absolute paths; may be empty.
    """

    name: str
    path: Path
    manifest: Manifest
    species: str
    stain: str
    brains: tuple[Brain, ...]
    labels: LabelTable
    atlas: Atlas | None
    space: str
    template: dict[Hemisphere, TemplateSurfaces]

    def brain(self, brain_id: str) -> Brain:
        """Return the brain with this id.

        Raises
        ------
        StudyError
            If there is none; the known ones are named.
        """
        for brain in self.brains:
            if brain.id == brain_id:
                return brain
        known = [brain.id for brain in self.brains]
        found, hint = f"no brain '{brain_id}'", did_you_mean(brain_id, known)
        raise StudyError(self.path, "brains", found=found, expected=f"one of {', '.join(known)}", hint=hint)


def open_study(path: str | Path) -> Study:
    """Open a study: the manifest, all tables and transforms are read and checked; images and contours are not.

    Raises
    ------
    StudyError, TransformError, AtlasError
        If the manifest, a section table, a transform or the atlas is wrong.

    Examples
    --------
    >>> study = open_study("study/study.yaml")
    >>> [brain.id for brain in study.brains]
    ['T01', 'T02']
    >>> section = study.brains[0].sections[0]
    >>> section.name, section.um_per_px, section.status
    ('T01 section 3', 250.0, 'ok')
    >>> study.labels.names[:3]
    ('P01', 'P02', 'P03')
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 (a manifest may be a link: paths are relative to where it is called)
    manifest = read_manifest(path)
    labels = load_labels(manifest, path)
    return Study(
        name=manifest.name,
        path=path,
        manifest=manifest,
        species=manifest.species,
        stain=manifest.stain,
        brains=tuple(load_brain(brain, manifest, path) for brain in manifest.brains),
        labels=labels,
        atlas=None if manifest.atlas is None else load_atlas(manifest.atlas, labels, manifest.space.name, path),
        space=manifest.space.name,
        template={
            side: TemplateSurfaces(pial=path.parent / surfaces.pial, white=path.parent / surfaces.white)
            for side, surfaces in manifest.space.template.items()
        },
    )


def load_labels(manifest: Manifest, path: Path) -> LabelTable:
    """Read the study's label table; an empty one without an atlas.

    Raises
    ------
    AtlasError
        If it cannot be read.
    StudyError
        If `annotations.classes` names areas that it does not have.
    """
    if manifest.atlas is None:
        return LabelTable((), (), np.empty((0, 4)))
    table = path.parent / manifest.atlas.labels
    labels = read_labels(table)
    if not len(labels):
        hint = "list the areas, or leave out atlas in the manifest: a study may do without areas"
        raise AtlasError(table, found="no area", expected="one row per area", hint=hint)
    for name, area in manifest.annotations.classes.items():
        if area != IGNORE and area not in labels.names:
            expected = f"an area of {table.name}, or {IGNORE}"
            hint = did_you_mean(area, labels.names, f"such as {labels.names[0]}")
            raise StudyError(path, f"annotations.classes.{name}", found=f"'{area}'", expected=expected, hint=hint)
    return labels


def load_brain(settings: BrainConfig, manifest: Manifest, path: Path) -> Brain:
    """Read a brain's section table and transform; `path` is where the manifest is."""
    folder = path.parent
    sections, problems = load_sections(settings, manifest, path)
    raise_problems(problems)
    return Brain(
        id=settings.id,
        role=settings.role,
        hemispheres=settings.hemispheres,
        sections=sections,
        to_reference=load_transform(settings.to_reference, folder),
        surfaces={side: files.within(folder) for side, files in settings.surfaces.items()},
    )


def load_sections(
    settings: BrainConfig, manifest: Manifest, path: Path
) -> tuple[tuple[Section, ...], list[CytomeshError]]:
    """Read a brain's section table; return the sections that can be used and every problem found."""
    table = path.parent / settings.sections
    image = manifest.image_settings(settings)
    sections, problems = parse_sections(table, settings.id, manifest.contours, manifest.annotations, image)
    within, outside = refuse_outside(table, sections, path, [path.parent / folder for folder in manifest.data_roots])
    return tuple(within), [*problems, *outside]
