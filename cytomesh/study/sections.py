"""Sections of a brain: the table `sections.tsv` and its checks."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

import numpy as np

from cytomesh.core.errors import CytomeshError, StudyError, TransformError, did_you_mean
from cytomesh.core.files import write_text
from cytomesh.core.remote import RemotePath
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.manifest import AnnotationSettings, ContourSettings
from cytomesh.study.pixels import ImageSettings
from cytomesh.study.planes import SectionPlane
from cytomesh.study.problems import attempt, raise_problems
from cytomesh.study.section_order import check_order, positions
from cytomesh.study.stain import Normalisation
from cytomesh.study.tables import columns_twice, named_file, read_cells, table_text

SectionRole = Literal["train", "val", "test", "none"]
SectionStatus = Literal["ok", "missing", "damaged"]

REQUIRED = ("section", "image", "um_per_px", "to_world", "contours", "annotation", "role", "status")
OPTIONAL = ("annotation_um_per_px", "displacement", "notes", "scene")
ABSENT = "n/a"
# Registration may stretch a shrunken section; a factor of two (a pyramid level) or 1000 (mm for um) is a mistake.
MAX_STRETCH = 1.3


@dataclass(frozen=True, slots=True)
class Section:
    """One histological cut.

    Parameters
    ----------
    brain : str
        The brain's id.
    index : int
        Number of the section in its series.
    image : Path or None
        Image of the section; None if there is none (contours only, or missing).
    um_per_px : float
        Pixel size of the full-resolution image; of a virtual image where there is none.
    plane : SectionPlane
        Pixels to world, mm.
    contours, annotation : Path or None
        QuPath GeoJSON; label image, or areas as QuPath GeoJSON.
    role : {"train", "val", "test", "none"}
        Which part of an evaluation the section belongs to.
    status : {"ok", "missing", "damaged"}
        Missing sections have a plane but no data; damaged ones are read like any other and marked.
    annotation_um_per_px : float
        Pixel size of the annotation, um, if it is an image.
    displacement : Path or None
        In-plane displacement field (see `cytomesh.study.warps`), applied before `plane`.
    notes : str
        Free text.
    scene : int or None
        Number of the section's scene (CZI) or slice (NIfTI), from 0, in a file of several.
    contour_settings : ContourSettings
        How the study's contour files are read.
    annotation_settings : AnnotationSettings
        How the study's annotations are read, where they are polygons.
    image_settings : ImageSettings
        How the pixels of the brain's images become 8-bit grey or RGB.
    normalisation : Normalisation or None
        How it is made to look like the brain's others; None unless `image_settings` ask for it (see
        `cytomesh.imaging.normalise`).
    """

    brain: str
    index: int
    image: Path | None
    um_per_px: float
    plane: SectionPlane
    contours: Path | None = None
    annotation: Path | None = None
    role: SectionRole = "none"
    status: SectionStatus = "ok"
    annotation_um_per_px: float | None = None
    displacement: Path | None = None
    notes: str = ""
    scene: int | None = None
    contour_settings: ContourSettings = field(default_factory=ContourSettings)
    annotation_settings: AnnotationSettings = field(default_factory=AnnotationSettings)
    image_settings: ImageSettings = field(default_factory=ImageSettings)
    normalisation: Normalisation | None = None

    @property
    def name(self) -> str:
        """Name for messages, such as "B01 section 12"."""
        return f"{self.brain} section {self.index}"

    @property
    def image_part(self) -> ImagePart:
        """Which of several images in its file."""
        return self.image_settings.part(self.scene)


def read_sections(path: Path, brain: str) -> tuple[Section, ...]:
    """Read a section table; sections come sorted by plane position.

    Raises
    ------
    StudyError, TransformError
        With every problem of the table.
    """
    sections, problems = parse_sections(path, brain)
    raise_problems(problems)
    return sections


def parse_sections(
    path: Path,
    brain: str,
    contours: ContourSettings | None = None,
    annotations: AnnotationSettings | None = None,
    image: ImageSettings | None = None,
) -> tuple[tuple[Section, ...], list[CytomeshError]]:
    """Read a section table; return the sections that can be used and every problem found."""
    problems: list[CytomeshError] = []
    rows = attempt(problems, lambda: _read_rows(path))
    if rows is None:
        return (), problems
    sections: list[Section] = []
    lines: dict[int, int] = {}
    for line, row in rows:
        section = _parse_row(path, line, row, brain, problems)
        if section is None:
            continue
        section = replace(
            section,
            contour_settings=contours or ContourSettings(),
            annotation_settings=annotations or AnnotationSettings(),
            image_settings=image or ImageSettings(),
        )
        if section.index in lines:
            found = f"section {section.index} listed twice (lines {lines[section.index]} and {line})"
            problems.append(StudyError(path, f"line {line}", found=found, expected="each section once"))
            continue
        lines[section.index] = line
        sections.append(section)
    problems += check_order(path, sections)
    offsets = positions(sections)
    return tuple(sections[i] for i in np.argsort(offsets, kind="stable")), problems


def write_sections(path: Path, sections: list[Section] | tuple[Section, ...]) -> None:
    """Write a section table; paths are written relative to it."""
    write_text(path, sections_text(path.parent, sections))


def sections_text(folder: Path, sections: list[Section] | tuple[Section, ...]) -> str:
    """Return a section table; paths are relative to the folder that it is for."""

    def relative(target: Path | None) -> str:
        if target is None or isinstance(target, RemotePath):
            return ABSENT if target is None else str(target)
        return Path(os.path.relpath(target, folder)).as_posix()

    rows: list[tuple[str, ...]] = [(*REQUIRED, *OPTIONAL)]
    for section in sections:
        cells = (
            str(section.index),
            relative(section.image),
            repr(float(section.um_per_px)),
            ",".join(repr(float(value)) for value in section.plane.to_world.ravel()),
            relative(section.contours),
            relative(section.annotation),
            section.role,
            section.status,
            ABSENT if section.annotation_um_per_px is None else repr(float(section.annotation_um_per_px)),
            relative(section.displacement),
            " ".join(section.notes.split()) or ABSENT,
            ABSENT if section.scene is None else str(section.scene),
        )
        rows.append(cells)
    return table_text(rows)


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, row) of a tab-separated table with the columns of a section table."""
    try:
        lines = read_cells(path)
    except FileNotFoundError as cause:
        raise StudyError(path, found="no such file", hint="correct brains.sections in the manifest") from cause
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise StudyError(
            path, found=f"a file that cannot be read as a table ({cause})", expected="UTF-8 TSV"
        ) from cause
    header = [cell.strip() for cell in lines[0]] if lines else []
    missing = [name for name in REQUIRED if name not in header]
    unknown = [name for name in header if name not in (*REQUIRED, *OPTIONAL)]
    twice = columns_twice(header)
    if missing or unknown or twice:
        near = [did_you_mean(name, (*REQUIRED, *OPTIONAL)) for name in unknown]
        names = [f"'{name}'" + (f" ({guess})" if guess else "") for name, guess in zip(unknown, near, strict=True)]
        facts = [f"no column {', '.join(missing)}"] * bool(missing) + [f"unknown column {', '.join(names)}"] * bool(
            unknown
        )
        facts += [f"column {', '.join(twice)} given twice"] * bool(twice)
        raise StudyError(
            path, "line 1", found="; ".join(facts), expected=f"columns {', '.join(REQUIRED)}, separated by tabs"
        )
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise StudyError(
                path, f"line {number}", found=f"{len(cells)} cells", expected=f"{len(header)}, separated by tabs"
            )
        rows.append((number, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}))
    if not rows:
        raise StudyError(path, found="no section", expected="at least one row")
    return rows


def _parse_row(path: Path, line: int, row: dict[str, str], brain: str, problems: list[CytomeshError]) -> Section | None:
    """Turn one row into a Section, adding what is wrong with it to `problems`; None if it cannot be used."""
    count = len(problems)

    def wrong(column: str, found: str, expected: str, hint: str = "") -> None:
        place = f"line {line} (section {row['section']}), {column}"
        problems.append(StudyError(path, place, found=found, expected=expected, hint=hint))

    def choice(column: str, kind: object) -> str:
        known = get_args(kind)
        if row[column] not in known:
            hint = did_you_mean(row[column], known)
            wrong(column, f"unknown {column} '{row[column]}'", f"one of {', '.join(known)}", hint)
        return row[column]

    def number(column: str) -> float:
        try:
            value = float(row[column])
        except ValueError:
            value = float("nan")
        if not (np.isfinite(value) and value > 0):
            wrong(column, f"'{row[column]}'", "a positive number (um)")
        return value

    def file(column: str) -> Path | None:
        cell = row.get(column, ABSENT)
        if cell in (ABSENT, ""):
            return None
        file = named_file(path.parent, cell)
        if isinstance(file, RemotePath) and column != "image":
            wrong(column, cell, "a file; only images may lie at addresses", "copy it, and name the copy")
        return file

    def whole(column: str) -> int:
        try:
            value = int(row[column])
        except ValueError:
            value = -1
        if value < 0:
            wrong(column, f"'{row[column]}'", "a number, 0 or more")
        return value

    index = whole("section")
    scene = None if row.get("scene", ABSENT) in (ABSENT, "") else whole("scene")
    role, status, um_per_px = choice("role", SectionRole), choice("status", SectionStatus), number("um_per_px")
    coarse = row.get("annotation_um_per_px", ABSENT)
    annotation_um = None if coarse in (ABSENT, "") else number("annotation_um_per_px")
    image, rings = file("image"), file("contours")
    if status == "missing" and (image or rings):
        wrong(
            "status", "a missing section with image or contours", "n/a for both", "use damaged for an imperfect section"
        )
    if status == "ok" and not (image or rings):
        wrong("image", "neither image nor contours", "at least one of them, or status missing")
    annotation, displacement = file("annotation"), file("displacement")
    plane = _parse_plane(row["to_world"], um_per_px, wrong)
    if plane is None or len(problems) > count:
        return None
    return Section(
        brain=brain,
        index=index,
        image=image,
        um_per_px=um_per_px,
        plane=plane,
        contours=rings,
        annotation=annotation,
        role=cast(SectionRole, role),
        status=cast(SectionStatus, status),
        annotation_um_per_px=annotation_um,
        displacement=displacement,
        notes="" if row.get("notes", ABSENT) == ABSENT else row["notes"],
        scene=scene,
    )


class _Complaint(Protocol):
    def __call__(self, column: str, found: str, expected: str, hint: str = "") -> None: ...


def _parse_plane(text: str, um_per_px: float, wrong: _Complaint) -> SectionPlane | None:
    """Read nine comma-separated numbers (row-major) and compare the steps with the declared pixel size."""
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        values = np.empty(0)
    if values.size != 9:
        wrong("to_world", f"'{text}'", "nine numbers separated by commas: the 3 x 3 matrix, row by row")
        return None
    try:
        plane = SectionPlane(values.reshape(3, 3))
    except TransformError as problem:
        wrong("to_world", problem.found, problem.expected)
        return None
    if np.isfinite(um_per_px) and um_per_px > 0:
        stretch = np.asarray(plane.um_per_px) / um_per_px
        if stretch.max() > MAX_STRETCH or stretch.min() < 1 / MAX_STRETCH:
            steps = " and ".join(f"{step:g}" for step in plane.um_per_px)
            expected = (
                f"steps about as long as um_per_px ({um_per_px:g}), up to {100 * (MAX_STRETCH - 1):.0f} % of stretch"
            )
            wrong("to_world", f"steps of {steps} um a pixel", expected, "to_world is in mm per pixel, um_per_px in um")
    return plane
