"""All images of a study as OME-Zarr, and section tables that name the copies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import write_text
from cytomesh.core.run import lock
from cytomesh.core.section_log import SectionLog, file_key
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.imaging.convert import convert_image
from cytomesh.study.roots import is_below
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
    left_out : dict of str to CytomeshError
        Images that were not converted, by their section, and why.
    tables : list of Path
        Section tables that were written.
    """

    copies: dict[Path, Path]
    n_kept: int
    left_out: dict[str, CytomeshError]
    tables: list[Path]


def convert_study(
    manifest: Path,
    out: Path,
    *,
    update: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = True,
    skip_bad: bool = False,
) -> Converted:
    """Convert every image that a study's sections name to `out/<brain>/<name>.ome.zarr`, see `convert_image`.

    Images are converted side by side; of few images, several rows of each. Pixel sizes are those of the section tables.

    Parameters
    ----------
    manifest : Path
        The study.
    out : Path
        Folder of the copies.
    update : bool
        Let the section tables name the copies in the end; nothing else in them changes.
    workers : int
        Processes.
    scheduler : str or None
        Address of a Dask scheduler whose workers convert.
    resume : bool
        False: convert again whatever is there.
    skip_bad : bool
        Whether to leave out images that cannot be converted: tables go on naming the originals.

    Raises
    ------
    StudyError
        If the study is wrong, or two images of a brain would get the same name.
    ImageError
        For the first image that cannot be converted, unless `skip_bad`.
    """
    study = open_study(manifest)
    out = Path(os.path.abspath(out))  # noqa: PTH100 (other machines are in other folders)
    sections = {section.image: section for brain in study.brains for section in brain.sections if section.image}
    targets = _names(sections, out)
    if update:
        _refuse_outside(study, out)
    tasks = [
        SectionTask(
            sections[source].name,
            (source, target, sections[source].um_per_px),
            file_key(source, um_per_px=sections[source].um_per_px),
            target,
        )
        for source, target in targets.items()
    ]
    within = 1 if scheduler else max(1, workers // max(1, len(tasks)))
    left_out: dict[str, CytomeshError] = {}
    with lock(out, "images"):
        states = SectionLog(out, resume=resume)
        kept = {task.name for task in tasks if states.is_done(task.name, task.key, task.output)}
        done = map_sections(
            partial(_convert_one, workers=within, resume=resume),
            tasks,
            doing="convert",
            workers=workers,
            scheduler=scheduler,
            states=states,
            left_out=left_out if skip_bad else None,
        )
        made = {task.item[0]: is_new and task.name not in kept for task, is_new in done}
    copies = {source: target for source, target in targets.items() if source in made}
    tables = name_images(study, copies) if update and copies else []
    return Converted(copies, list(made.values()).count(False), left_out, tables)


def _convert_one(job: tuple[Path, Path, float], workers: int, resume: bool) -> bool:
    source, target, um_per_px = job
    target.parent.mkdir(parents=True, exist_ok=True)
    return convert_image(source, target, um_per_px, workers=workers, resume=resume)


def _refuse_outside(study: Study, out: Path) -> None:
    """Raise StudyError, before anything is converted, if tables could not be read again once they name the copies."""
    folder = study.path.parent
    allowed = [folder, *(folder / root for root in study.manifest.data_roots)]
    for settings in study.manifest.brains:
        if not is_below(out, [*allowed, (folder / settings.sections).parent]):
            expected = "a folder below that of the manifest, or one that it allows"
            hint = f"choose another --out, or add data_roots: [{os.path.relpath(out, folder)}] to {study.path.name}"
            raise StudyError(study.path, "--update-study", found=f"copies in {out}", expected=expected, hint=hint)


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
