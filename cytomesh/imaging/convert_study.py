"""All images of a study as OME-Zarr, and section tables that name the copies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import write_text
from cytomesh.imaging.convert import convert_image
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section
from cytomesh.study.study import Study, open_study
from cytomesh.study.tables import named_file, read_cells, table_text


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of the images of a study.

    Parameters
    ----------
    copies : dict of Path to Path
        Images to their copies.
    n_kept : int
        Copies that were there already.
    problems : list of CytomeshError
        One for each image that was not converted.
    tables : list of Path
        Section tables that were written.
    """

    copies: dict[Path, Path]
    n_kept: int
    problems: list[CytomeshError]
    tables: list[Path]


def convert_study(
    manifest: Path, out: Path, *, update: bool = False, workers: int = 1, resume: bool = True
) -> Converted:
    """Convert every image that a study's sections name to `out/<brain>/<name>.ome.zarr`, see `convert_image`.

    An image that cannot be converted does not keep the others from it. Pixel sizes are those of the section tables.

    Parameters
    ----------
    manifest : Path
        The study.
    out : Path
        Folder of the copies.
    update : bool
        Let the section tables name the copies in the end, if there was no problem; nothing else in them changes.
    workers : int
        Processes for each image.
    resume : bool
        False: convert again whatever is there.

    Raises
    ------
    StudyError
        If the study is wrong, or two images of a brain would get the same name.
    """
    study = open_study(manifest)
    sections = {section.image: section for brain in study.brains for section in brain.sections if section.image}
    copies = _names(sections, out)
    problems: list[CytomeshError] = []
    n_kept = 0
    for source, target in copies.items():
        size = sections[source].um_per_px
        target.parent.mkdir(parents=True, exist_ok=True)
        made = attempt(problems, partial(convert_image, source, target, size, workers=workers, resume=resume))
        n_kept += made is False
    tables = name_images(study, copies) if update and not problems else []
    return Converted(copies, n_kept, problems, tables)


def _names(sections: Mapping[Path, Section], out: Path) -> dict[Path, Path]:
    """Return where each image goes."""
    copies: dict[Path, Path] = {}
    taken: dict[Path, Path] = {}
    for source, section in sections.items():
        target = out / section.brain / f"{source.name.split('.')[0]}.ome.zarr"
        if taken.setdefault(target, source) != source:
            found = f"{target.name} for both {taken[target]} and {source}"
            hint = "rename one of them"
            place = f"brain {section.brain}"
            raise StudyError(source, place, found=found, expected="one image of each name", hint=hint)
        copies[source] = target
    return copies


def name_images(study: Study, copies: Mapping[Path, Path]) -> list[Path]:
    """Let section tables name other images, by paths relative to the table; other cells stay as they are.

    Returns
    -------
    list of Path
        The tables that changed.
    """
    written = []
    for settings in study.manifest.brains:
        table = study.path.parent / settings.sections
        rows = read_cells(table)
        column = [cell.strip() for cell in rows[0]].index("image")
        changed = False
        for cells in rows[1:]:
            if len(cells) <= column:
                continue
            new = copies.get(named_file(table.parent, cells[column].strip()))
            if new is not None:
                cells[column] = Path(os.path.relpath(new, table.parent)).as_posix()
                changed = True
        if changed:
            write_text(table, table_text(rows))
            written.append(table)
    return written
