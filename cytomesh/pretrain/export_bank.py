"""Banks are written: all patches of a pool, section by section, by processes or a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.digests import file_digests
from cytomesh.core.distributed import World
from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.files import atomic_path, digest, new_npy, remove, write_json
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log, warn
from cytomesh.core.provenance import Inputs, Record, said, write_record
from cytomesh.core.run import lock
from cytomesh.core.section_log import SectionLog
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.graph.freshness import Freshness, record_path
from cytomesh.graph.provenance import IMAGES, LINKS
from cytomesh.imaging.pyramid import open_section
from cytomesh.pretrain.bank import FORMAT, INDEX, PatchBank, bank_bytes, bank_folder, contents, file_name, is_whole
from cytomesh.pretrain.config import PatchConfig, PretrainConfig
from cytomesh.pretrain.job import open_data
from cytomesh.pretrain.old_banks import remove_banks, take_over
from cytomesh.pretrain.patches import (
    PatchSource,
    SectionReader,
    count_channels,
    images_of,
    mixed_channels,
    read_section,
)
from cytomesh.pretrain.pool import PatchPool, SectionPatches

Task = SectionTask[tuple[SectionPatches, Path]]
FAILED = ".failed"
POLL_S = 0.5
# What is read of a section at once.
PIECE_BYTES = 64 * 2**20
# A further process is worth its start, some seconds, for so much.
WORTH_A_PROCESS = 256 * 2**20


def find_patches(
    run: Path,
    pool: PatchPool,
    config: PatchConfig,
    data: Inputs,
    encoder: str,
    freshness: Freshness | None,
    here: World,
    *,
    resume: bool = True,
) -> PatchSource:
    """Return the patches of a pool on every rank, extracted once if they fit into `bank_gib`.

    A patch is used in many epochs and a section's image is decoded for each read: extracting each once, section by
    section, takes seconds where random reads would take as long as training. The main rank, which has `freshness`,
    extracts; others wait for its files, since a barrier gives up after half an hour. What is too large stays as
    `cytomesh patches export` has left it, also without `resume`.
    """
    folder = bank_folder(run, config, data)
    _await_writer(run, here, is_main=freshness is not None)
    n_bytes, fits = 0, False
    if freshness is not None:
        n_bytes = bank_bytes(pool, config, count_channels(pool.sections))
        fits = n_bytes <= config.bank_gib * 2**30
        with lock(run, "patches", wait=True):
            remove(folder if fits and not resume else folder / FAILED)
        if folder.is_dir() and not fits and not is_whole(folder):
            warn(f"{folder}: some sections are missing ('cytomesh patches export' goes on with them); images are read")
    is_wanted = here.told(fits and not is_whole(folder))
    if is_wanted and freshness is not None:
        workers = 1 + n_bytes // WORTH_A_PROCESS
        export_bank(run, pool, config, data, encoder, freshness, workers=min(workers, available_cpus()))
    elif is_wanted:
        await_bank(folder)
    return PatchBank(folder, pool, config.cache_dir) if is_whole(folder) else SectionReader(pool, config)


def export_run(
    run: Path,
    settings: PretrainConfig,
    *,
    workers: int = 0,
    scheduler: str | None = None,
    resume: bool = True,
    allow_stale: bool = False,
    skip_bad: bool = False,
) -> dict[str, object]:
    """Extract the patches that a pretraining of these settings reads, whatever their size.

    Parameters
    ----------
    run : Path
        Run directory, with graphs.
    settings : PretrainConfig
        `patches` and `sampling.roles` count.
    workers : int
        Processes; 0 takes every available processor.
    scheduler : str or None
        Address of a Dask scheduler whose workers extract.
    resume : bool
        False: extract again whatever is there.
    allow_stale : bool
        Extract at the links of graphs that are not what their inputs would give now.
    skip_bad : bool
        Go on past images that cannot be read, and name them all in the end.

    Returns
    -------
    dict
        `bank` (its folder), `patches`, `sections`, `gib`.

    Raises
    ------
    ImageError, StudyError, MissingStageError, StaleError
    """
    data = open_data(run, settings)
    pool = data.pool
    with file_digests(run) as digests:
        images, freshness = images_of(run, data.study, data.graphs, digests), Freshness(run, digests)
        freshness.check(images, allow_stale=allow_stale)
        folder = export_bank(
            run,
            pool,
            settings.patches,
            images,
            "",
            freshness,
            workers=workers or available_cpus(),
            scheduler=scheduler,
            resume=resume,
            skip_bad=skip_bad,
        )
    size = sum(path.stat().st_size for path in folder.glob("*.npy")) / 2**30
    return {"bank": str(folder), "patches": len(pool), "sections": len(pool.sections), "gib": round(size, 3)}


def export_bank(
    run: Path,
    pool: PatchPool,
    config: PatchConfig,
    data: Inputs,
    encoder: str,
    freshness: Freshness,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = True,
    skip_bad: bool = False,
) -> Path:
    """Extract all patches of a pool, section by section; sections that were extracted before serve again.

    Banks whose images or links have changed, and others made for the same encoder, are removed.

    Parameters
    ----------
    encoder : str
        For which it is made; empty: for whichever reads the same patches.
    workers : int
        Processes.
    scheduler : str or None
        Address of a Dask scheduler whose workers extract.
    resume : bool
        False: extract again whatever is there.
    skip_bad : bool
        Go on past images that cannot be read, and name them all in the end.

    Returns
    -------
    Path
        Folder of the bank.

    Raises
    ------
    ImageError, StudyError
        If an image cannot be read, or grey and colour images are mixed; what was extracted is kept.
    """
    folder = bank_folder(run, config, data)
    with lock(run, "patches", wait=True):
        remove(folder if not resume else folder / FAILED)
        if is_whole(folder):
            remove_banks(folder, encoder, freshness)
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        try:
            states, tasks = SectionLog(folder), _tasks(folder, pool, config, data)
            if resume:
                take_over(tasks, states)
            remove_banks(folder, encoder, freshness)
            # vouches for what is unfinished, too: another training does not remove it
            name = folder.relative_to(run).as_posix()
            write_record(record_path(run, name), Record("patches", encoder, data.of_kinds(LINKS, *IMAGES)))
            extract = partial(_extract, config=config)
            n_channels = _extract_all(extract, tasks, states, workers, scheduler, skip_bad=skip_bad)
        except BaseException:
            (folder / FAILED).touch()
            raise
        write_json(folder / INDEX, _index(folder, pool, config, n_channels))
    return folder


def _tasks(folder: Path, pool: PatchPool, config: PatchConfig, data: Inputs) -> list[Task]:
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 (other machines are in other folders)
    files = [folder / file_name(number) for number in range(len(pool.sections))]
    facts: dict[str, list[Any]] = {}
    images = data.of_kinds(*IMAGES)
    contents = {name: content for name, (_, content) in images.files.items()}
    for name, fact in sorted({**images.values, **contents}.items()):
        kind, _, section = name.partition(": ")
        facts.setdefault(section, []).append([kind, fact])
    return [
        SectionTask(name, (part, file), digest(_cut(config), facts.get(name), part.pixels, part.angles_deg), file)
        for name, part, file in zip((part.section.name for part in pool.sections), pool.sections, files, strict=True)
    ]


def _cut(config: PatchConfig) -> dict[str, float]:
    return {"size_px": config.size_px, "border_px": config.border_px, "um_per_px": config.um_per_px}


def _extract_all(
    extract: Callable[[tuple[SectionPatches, Path]], dict[str, Any]],
    tasks: Sequence[Task],
    states: SectionLog,
    workers: int,
    scheduler: str | None,
    *,
    skip_bad: bool,
) -> int:
    """Extract what is missing; return the number of channels."""
    left_out: dict[str, CytomeshError] = {}
    channels: dict[int, Path] = {}
    for task, facts in map_sections(
        extract,
        tasks,
        doing="extract patches",
        workers=workers,
        scheduler=scheduler,
        states=states,
        left_out=left_out if skip_bad else None,
    ):
        channels.setdefault(facts["n_channels"], task.item[0].image)
        if len(channels) > 1:
            raise mixed_channels(channels)
    if left_out:
        found = f"{len(left_out)} of {len(tasks)} sections that cannot be read: "
        hint = (
            "mend them, or declare them damaged in the section table and build the graph again; then call this again: "
            "the others are not extracted again"
        )
        problems = said([str(problem) for problem in left_out.values()])
        raise ImageError(states.path.parent, found=found + problems, hint=hint)
    return next(iter(channels))


def _extract(job: tuple[SectionPatches, Path], config: PatchConfig) -> dict[str, Any]:
    part, path = job
    side = config.size_px + 2 * config.border_px
    n = len(part.rows)
    with open_section(part.section) as image, atomic_path(path) as temporary:
        shape = (n, image.n_channels, side, side)
        bank = new_npy(temporary, shape, np.uint8)
        step = max(1, PIECE_BYTES * n // max(1, int(np.prod(shape))))
        for start in range(0, n, step):
            piece = slice(start, start + step)
            bank[piece] = read_section(image, part, config, piece)
        bank.flush()
    return {"file": path.name, "n_channels": shape[1]}


def _index(folder: Path, pool: PatchPool, config: PatchConfig, n_channels: int) -> dict[str, object]:
    files = [folder / file_name(number) for number in range(len(pool.sections))]
    sections = [
        {"name": name, "patches": n, "file": file.name, "bytes": file.stat().st_size}
        for (name, n), file in zip(contents(pool), files, strict=True)
    ]
    side = config.size_px + 2 * config.border_px
    return {"format": FORMAT, "cut": _cut(config), "shape": [n_channels, side, side], "sections": sections}


def _await_writer(run: Path, here: World, *, is_main: bool) -> None:
    """Wait, all ranks together, while another process extracts patches of this run.

    They ask one another all the time: whoever waited for one that waits would give up after half an hour.
    """
    said_so = False
    while here.told(is_main and _is_locked(run)):
        if is_main and not said_so:
            log("waiting for another cytomesh process, which extracts patches of this run")
            said_so = True
        time.sleep(POLL_S)


def _is_locked(run: Path) -> bool:
    try:
        with lock(run, "patches"):
            return False
    except CytomeshError:
        return True


def await_bank(folder: Path) -> None:
    """Wait until another rank has finished a bank: by its files, since a barrier would give up after half an hour.

    Raises
    ------
    CytomeshError
        If it has failed.
    """
    said = False
    while not is_whole(folder):
        if (folder / FAILED).exists():
            raise CytomeshError(folder, found="patches that another rank could not extract", hint="see what it said")
        if not said:
            log("waiting for the patches that the first rank extracts")
            said = True
        time.sleep(POLL_S)
