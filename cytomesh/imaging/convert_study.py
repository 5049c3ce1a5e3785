"""All images of a study as OME-Zarr, and section tables that name the copies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cytomesh.core.errors import CytomeshError, StudyError
from cytomesh.core.files import write_text
from cytomesh.core.run import lock
from cytomesh.core.section_log import SectionLog, file_key
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.ome_zarr import OmeVersion
from cytomesh.study.roots import is_below
from cytomesh.study.sections import ABSENT, Section
from cytomesh.study.study import Study, open_study
from cytomesh.study.tables import named_file, read_cells, table_text

Image = tuple[Path, int | None]
"""A file, and the number of the scene in it."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of the images of a study.

    Parameters
    ----------
    copies : dict of (Path, int or None) to Path
        Images, by file and scene, to their copies.
    n_kept : int
        Copies that were there already.
    left_out : dict of str to CytomeshError
        Images that were not converted, by their section, and why.
    tables : list of Path
        Section tables that were written.
    """

    copies: dict[Image, Path]
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
    ome_version: OmeVersion = "0.5",
) -> Converted:
    """Convert every image that a study's sections name to `out/<brain>/<name>.ome.zarr`, see `convert_image`.

    Of several scenes in a file, each becomes `<name>_scene-<number>.ome.zarr`; of several planes, the one that is seen.
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
    ome_version : "0.5" or "0.4"
        That is written.

    Raises
    ------
    StudyError
        If the study is wrong, or two images of a brain would get the same name.
    ImageError
        For the first image that cannot be converted, unless `skip_bad`.
    """
    study = open_study(manifest)
    out = Path(os.path.abspath(out))  # noqa: PTH100 (other machines are in other folders)
    sections = {
        (section.image, section.scene): section for brain in study.brains for section in brain.sections if section.image
    }
    targets = _names(sections, out)
    if update:
        _refuse_outside(study, out)
    version = {} if ome_version == "0.5" else {"ome_version": ome_version}
    tasks = [
        SectionTask(
            section.name,
            (section, target),
            file_key(image[0], um_per_px=section.um_per_px, **section.image_part.facts, **version),
            target,
        )
        for (image, section), target in zip(sections.items(), targets.values(), strict=True)
    ]
    within = 1 if scheduler else max(1, workers // max(1, len(tasks)))
    left_out: dict[str, CytomeshError] = {}
    with lock(out, "images"):
        states = SectionLog(out, resume=resume)
        kept = {task.name for task in tasks if states.is_done(task.name, task.key, task.output)}
        done = map_sections(
            partial(_convert_one, workers=within, resume=resume, ome_version=ome_version),
            tasks,
            doing="convert",
            workers=workers,
            scheduler=scheduler,
            states=states,
            left_out=left_out if skip_bad else None,
        )
        made = {task.item[1]: is_new and task.name not in kept for task, is_new in done}
    copies = {image: target for image, target in targets.items() if target in made}
    tables = name_images(study, copies) if update and copies else []
    return Converted(copies, list(made.values()).count(False), left_out, tables)


def _convert_one(job: tuple[Section, Path], workers: int, resume: bool, ome_version: OmeVersion) -> bool:
    section, target = job
    target.parent.mkdir(parents=True, exist_ok=True)
    source, part = section.image or Path(), section.image_part
    how: dict[str, Any] = {"workers": workers, "resume": resume, "part": part, "ome_version": ome_version}
    return convert_image(source, target, section.um_per_px, **how)


def _refuse_outside(study: Study, out: Path) -> None:
    """Raise StudyError, before anything is converted, if tables could not be read again once they name the copies."""
    folder = study.path.parent
    allowed = [folder, *(folder / root for root in study.manifest.data_roots)]
    for settings in study.manifest.brains:
        if not is_below(out, [*allowed, (folder / settings.sections).parent]):
            expected = "a folder below that of the manifest, or one that it allows"
            hint = f"choose another --out, or add data_roots: [{os.path.relpath(out, folder)}] to {study.path.name}"
            raise StudyError(study.path, "--update-study", found=f"copies in {out}", expected=expected, hint=hint)


def _names(sections: Mapping[Image, Section], out: Path) -> dict[Image, Path]:
    """Return where each image goes."""
    copies: dict[Image, Path] = {}
    taken: dict[Path, Path] = {}
    for (source, scene), section in sections.items():
        which = "" if scene is None else f"_scene-{scene}"
        target = out / section.brain / f"{source.name.split('.')[0]}{which}.ome.zarr"
        if taken.setdefault(target, source) != source:
            found = f"{target.name} for both {taken[target]} and {source}"
            hint = "rename one of them"
            place = f"brain {section.brain}"
            raise StudyError(source, place, found=found, expected="one image of each name", hint=hint)
        copies[source, scene] = target
    return copies


def name_images(study: Study, copies: Mapping[Image, Path]) -> list[Path]:
    """Let section tables name other images, by paths relative to the table; other cells stay as they are.

    Copies have one scene each: the column `scene` says so.

    Returns
    -------
    list of Path
        The tables that changed.
    """
    written = []
    for settings in study.manifest.brains:
        table = study.path.parent / settings.sections
        rows = read_cells(table)
        header = [cell.strip() for cell in rows[0]]
        column, scenes = header.index("image"), header.index("scene") if "scene" in header else None
        changed = False
        for cells in rows[1:]:
            if len(cells) != len(header):
                continue
            scene = ABSENT if scenes is None else cells[scenes].strip() or ABSENT
            image = named_file(table.parent, cells[column].strip())
            new = copies.get((image, None if scene == ABSENT else int(scene)))
            name = None if new is None else Path(os.path.relpath(new, table.parent)).as_posix()
            if name not in (None, cells[column].strip()):
                cells[column] = name
                if scenes is not None:
                    cells[scenes] = ABSENT
                changed = True
        if changed:
            write_text(table, table_text(rows))
            written.append(table)
    return written
