"""Where training reads its patches from: a bank, made now if it is small, or the images."""

from __future__ import annotations

import time
from pathlib import Path

from cytomesh.core.distributed import World
from cytomesh.core.errors import CytomeshError, MissingStageError
from cytomesh.core.files import remove
from cytomesh.core.parallel import available_cpus
from cytomesh.core.progress import log, warn
from cytomesh.core.provenance import Inputs
from cytomesh.core.remote import RemotePath
from cytomesh.core.run import lock
from cytomesh.graph.freshness import Freshness
from cytomesh.pretrain.bank import bank_bytes, bank_folder, bank_home, open_bank
from cytomesh.pretrain.bank_index import home_of, is_whole
from cytomesh.pretrain.config import PatchConfig
from cytomesh.pretrain.export_bank import FAILED, export_bank
from cytomesh.pretrain.old_banks import adopt
from cytomesh.pretrain.patches import PatchSource, SectionReader, count_channels
from cytomesh.pretrain.pool import PatchPool

POLL_S = 0.5
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
    `cytomesh patches export` has left it, also without `resume`. With `bank_address`, nothing is extracted: they are
    read from there.

    Raises
    ------
    MissingStageError
        If there is no bank of these patches at `bank_address`.
    """
    folder = bank_folder(run, config, data)
    _await_writer(run, here, is_main=freshness is not None)
    n_bytes, fits = 0, False
    if freshness is not None and config.bank_address is not None:
        find_at_address(run, pool, config, data, encoder)
    elif freshness is not None:
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
    return open_bank(folder, pool, config.cache_dir) if is_whole(folder) else SectionReader(pool, config)


def find_at_address(run: Path, pool: PatchPool, config: PatchConfig, data: Inputs, encoder: str) -> None:
    """Let a run know of the bank of its patches at `bank_address`, if it does not yet.

    Raises
    ------
    MissingStageError
        If there is none there; those of other settings, image links or images are not taken.
    DamagedError, AddressError
    """
    folder = bank_folder(run, config, data)
    home = bank_home(folder, config)
    if isinstance(home, RemotePath):
        with lock(run, "patches", wait=True):
            adopt(home, run, folder, pool, encoder, data)
    if home_of(folder) != home:
        found = "no finished bank of these settings, image links and images"
        hint = "call 'cytomesh patches export' with the same settings, or leave patches.bank_address out"
        raise MissingStageError(home, found=found, hint=hint)


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
