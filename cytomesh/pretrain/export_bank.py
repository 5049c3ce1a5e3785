"""Banks are written: all patches of a pool, section by section, by processes or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cytomesh.core.digests import file_digests
from cytomesh.core.distributed import find_device
from cytomesh.core.errors import CytomeshError, ImageError
from cytomesh.core.files import digest, new_npy, remove
from cytomesh.core.object_store import new_file, refuse_web
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs, said
from cytomesh.core.remote import RemotePath
from cytomesh.core.run import lock
from cytomesh.core.section_log import SectionLog
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.graph.freshness import Freshness
from cytomesh.graph.provenance import IMAGES
from cytomesh.imaging.pyramid import open_section
from cytomesh.pretrain.bank import bank_folder, bank_home, sha256
from cytomesh.pretrain.bank_index import (
    FORMAT,
    BankIndex,
    SectionFile,
    contents,
    file_name,
    home_of,
    how_cut,
    is_whole,
    read_index,
)
from cytomesh.pretrain.config import PatchConfig, PretrainConfig
from cytomesh.pretrain.defaults import from_data
from cytomesh.pretrain.job import open_data
from cytomesh.pretrain.old_banks import adopt, keep_index, remove_banks, shown, take_over, vouch
from cytomesh.pretrain.patches import images_of, mixed_channels, read_section
from cytomesh.pretrain.pool import PatchPool, SectionPatches

Task = SectionTask[tuple[SectionPatches, Path]]
FAILED = ".failed"
# What is read of a section at once.
PIECE_BYTES = 64 * 2**20


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
        `patches` and `sampling.roles` count; where patches are left to the data, `device`, too.
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
        `bank` (its folder or address), `patches`, `sections`, `gib`.

    Raises
    ------
    ImageError, StudyError, MissingStageError, StaleError, StorageError, AddressError
    """
    data = open_data(run, settings)
    pool = data.pool
    # patches for GPUs are extracted where there is none
    device = settings.device if settings.device != "auto" else find_device("auto").type
    settings = from_data(settings, pool, data.graphs, device, log)
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
    index = read_index(folder)
    size = sum(section.bytes for section in index.sections) / 2**30
    return {"bank": str(index.home), "patches": len(pool), "sections": len(pool.sections), "gib": round(size, 3)}


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

    With `bank_address`, each section is put there as soon as it is whole, and the index, of which the run has another,
    at last. Banks whose images or links have changed, and others made for the same encoder, are removed; not what is
    at an address.

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
        Folder of the bank in the run.

    Raises
    ------
    ImageError, StudyError
        If an image cannot be read, or grey and colour images are mixed; what was extracted is kept.
    StorageError, AddressError
        If the disk or the store does not take it.
    """
    folder = bank_folder(run, config, data)
    home = bank_home(folder, config)
    with lock(run, "patches", wait=True):
        remove(folder if not resume else folder / FAILED)
        if resume and isinstance(home, RemotePath):
            adopt(home, run, folder, pool, encoder, data)
        if is_whole(folder) and (config.bank_address is None or home_of(folder) == home):
            remove_banks(folder, encoder, freshness)
            return folder
        if isinstance(home, RemotePath):
            refuse_web(home)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            states, tasks = SectionLog(folder), _tasks(home, pool, config, data)
            if resume:
                take_over(tasks, states)
            remove_banks(folder, encoder, freshness)
            # of what is unfinished, too: another training does not remove it
            vouch(run, folder, encoder, data)
            extract = partial(_extract, config=config, scratch=_everywhere(folder))
            _extract_all(extract, tasks, states, workers, scheduler, skip_bad=skip_bad)
            index = _index(home, folder.name, pool, config, [states.states[task.name].result for task in tasks])
            index.write(home, folder)
            if home != folder:
                keep_index(index, folder)
        except BaseException:
            (folder / FAILED).touch()
            raise
    return folder


def _everywhere(home: Path) -> Path:
    """Return a folder or address as other machines know it: they are in other folders."""
    return home if isinstance(home, RemotePath) else Path(os.path.abspath(home))  # noqa: PTH100


def _tasks(home: Path, pool: PatchPool, config: PatchConfig, data: Inputs) -> list[Task]:
    files = [_everywhere(home) / file_name(number) for number in range(len(pool.sections))]
    facts: dict[str, list[Any]] = {}
    images = data.of_kinds(*IMAGES)
    contents = {name: content for name, (_, content) in images.files.items()}
    for name, fact in sorted({**images.values, **contents}.items()):
        kind, _, section = name.partition(": ")
        facts.setdefault(section, []).append([kind, fact])
    made_from = FORMAT, how_cut(config)  # what was noted of sections before formats had digests of files
    return [
        SectionTask(name, (part, file), digest(*made_from, facts.get(name), part.pixels, part.angles_deg), file)
        for name, part, file in zip((part.section.name for part in pool.sections), pool.sections, files, strict=True)
    ]


def _extract_all(
    extract: Callable[[tuple[SectionPatches, Path]], dict[str, Any]],
    tasks: Sequence[Task],
    states: SectionLog,
    workers: int,
    scheduler: str | None,
    *,
    skip_bad: bool,
) -> None:
    """Extract what is missing."""
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


def _extract(job: tuple[SectionPatches, Path], config: PatchConfig, scratch: Path) -> dict[str, Any]:
    part, path = job
    side = config.size_px + 2 * config.border_px
    n = len(part.rows)
    with open_section(part.section) as image, new_file(path, scratch) as temporary:
        shape = (n, image.n_channels, side, side)
        bank = new_npy(temporary, shape, np.uint8)
        step = max(1, PIECE_BYTES * n // max(1, int(np.prod(shape))))
        for start in range(0, n, step):
            piece = slice(start, start + step)
            bank[piece] = read_section(image, part, config, piece)
        bank.flush()
        facts = {"bytes": temporary.stat().st_size, "sha256": sha256(temporary)}
    return {"file": shown(path), "n_channels": shape[1], **facts}


def _index(home: Path, key: str, pool: PatchPool, config: PatchConfig, results: Sequence[dict[str, Any]]) -> BankIndex:
    sections = [
        SectionFile(name, n, file_name(number), result["bytes"], result["sha256"])
        for number, ((name, n), result) in enumerate(zip(contents(pool), results, strict=True))
    ]
    side = config.size_px + 2 * config.border_px
    return BankIndex(home, key, how_cut(config), (results[0]["n_channels"], side, side), sections)
