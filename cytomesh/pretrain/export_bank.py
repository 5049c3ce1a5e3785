"""Banks are written: all patches of a pool, section by section, by processes or a cluster; old ones are removed."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from cytomesh.core.digests import file_digests
from cytomesh.core.distributed import World
from cytomesh.core.errors import CytomeshError
from cytomesh.core.files import atomic_path, clear_partial, new_npy, open_npy, remove, write_json
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs, Record, write_record
from cytomesh.core.run import lock
from cytomesh.core.section_log import SectionLog
from cytomesh.core.sections import SectionTask, map_sections
from cytomesh.graph.freshness import Freshness, record_path
from cytomesh.graph.provenance import IMAGES, LINKS
from cytomesh.imaging.pyramid import open_section
from cytomesh.pretrain.bank import FORMAT, INDEX, PatchBank, bank_bytes, bank_folder, contents, file_name, is_whole
from cytomesh.pretrain.config import PatchConfig, PretrainConfig
from cytomesh.pretrain.job import open_data
from cytomesh.pretrain.patches import PatchSource, SectionReader, count_channels, images_of, read_section
from cytomesh.pretrain.pool import PatchPool, SectionPatches

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
    extracts; others wait for its files, since a barrier gives up after half an hour.
    """
    folder = bank_folder(run, config, data)
    n_bytes = 0
    if freshness is not None:
        n_bytes = bank_bytes(pool, config, count_channels(pool.sections))
        with lock(run, "patches", wait=True):
            _make_room(folder, encoder, freshness, resume=resume)
    is_wanted = here.told(0 < n_bytes <= config.bank_gib * 2**30 and not is_whole(folder))
    if is_wanted and freshness is not None:
        workers = min(1 + n_bytes // WORTH_A_PROCESS, available_cpus())
        with lock(run, "patches", wait=True):
            _fill(run, pool, config, data, encoder, workers, None)
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

    Returns
    -------
    dict
        `bank` (its folder), `patches`, `sections`, `gib`.

    Raises
    ------
    ImageError, StudyError, MissingStageError, StaleError
    """
    data = open_data(run, settings)
    pool, config, n_workers = data.pool, settings.patches, workers or available_cpus()
    size = bank_bytes(pool, config, count_channels(pool.sections)) / 2**30
    with file_digests(run) as digests:
        images, freshness = images_of(run, data.study, data.graphs, digests), Freshness(run, digests)
        freshness.check(images, allow_stale=allow_stale)
        folder = export_bank(
            run, pool, config, images, "", freshness, workers=n_workers, scheduler=scheduler, resume=resume
        )
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
) -> Path:
    """Extract all patches of a pool, section by section; sections that a killed process has finished are kept.

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

    Returns
    -------
    Path
        Folder of the bank.

    Raises
    ------
    ImageError
        If an image cannot be read.
    """
    folder = bank_folder(run, config, data)
    with lock(run, "patches", wait=True):
        _make_room(folder, encoder, freshness, resume=resume)
        _fill(run, pool, config, data, encoder, workers, scheduler)
    return folder


def _make_room(folder: Path, encoder: str, freshness: Freshness, *, resume: bool) -> None:
    """Remove old banks, and of the wanted one what does not serve again."""
    remove_banks(folder, encoder, freshness)
    remove(folder / FAILED if resume else folder)


def _fill(
    run: Path,
    pool: PatchPool,
    config: PatchConfig,
    data: Inputs,
    encoder: str,
    workers: int,
    scheduler: str | None,
) -> None:
    """Extract what a bank lacks."""
    folder = bank_folder(run, config, data)
    if is_whole(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _extract_all(folder, pool, config, workers, scheduler)
    except BaseException:
        (folder / FAILED).touch()
        raise
    name = folder.relative_to(run).as_posix()
    write_record(record_path(run, name), Record("patches", encoder, data.of_kinds(LINKS, *IMAGES)))
    write_json(folder / INDEX, _index(folder, pool))


def _extract_all(folder: Path, pool: PatchPool, config: PatchConfig, workers: int, scheduler: str | None) -> None:
    clear_partial(folder)
    states = SectionLog(folder)
    tasks = [
        SectionTask(part.section.name, (part, folder / file_name(number)), folder.name, folder / file_name(number))
        for number, part in enumerate(pool.sections)
    ]
    extract = partial(_extract, config=config)
    for _ in map_sections(extract, tasks, doing="extract patches", workers=workers, scheduler=scheduler, states=states):
        pass
    states.remove()


def _extract(job: tuple[SectionPatches, Path], config: PatchConfig) -> None:
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


def _index(folder: Path, pool: PatchPool) -> dict[str, object]:
    files = [folder / file_name(number) for number in range(len(pool.sections))]
    sections = [
        {"name": name, "patches": n, "file": file.name, "bytes": file.stat().st_size}
        for (name, n), file in zip(contents(pool), files, strict=True)
    ]
    return {"format": FORMAT, "shape": list(open_npy(files[0]).shape[1:]), "sections": sections}


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


def remove_banks(wanted: Path, encoder: str, freshness: Freshness) -> None:
    """Remove an encoder's banks other than the wanted one, and all that are stale or that nothing vouches for."""
    if not wanted.parent.is_dir():
        return
    clear_partial(wanted.parent)
    banks = [path for path in wanted.parent.iterdir() if path.is_dir() or path.suffix == ".npy"]  # a file until 0.1
    for path in banks:
        bank = f"{wanted.parent.name}/{path.stem}"
        record = freshness.record(bank)
        is_old = path != wanted and (record is None or (encoder != "" and record.name == encoder))
        if is_old or freshness.reasons(bank):
            remove(path)
            record_path(freshness.run, bank).unlink(missing_ok=True)
