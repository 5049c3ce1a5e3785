"""Banks that were made before: their sections serve again where nothing about them has changed; then they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cytomesh.core.files import clear_partial, remove
from cytomesh.core.object_store import copy
from cytomesh.core.progress import log
from cytomesh.core.provenance import Inputs, Record, write_record
from cytomesh.core.remote import RemotePath, as_path, is_address
from cytomesh.core.section_log import NAME, SectionLog
from cytomesh.core.sections import SectionTask
from cytomesh.graph.freshness import Freshness, record_path
from cytomesh.graph.provenance import IMAGES, LINKS
from cytomesh.pretrain.bank_index import BankIndex, home_of, is_whole, read_index
from cytomesh.pretrain.pool import PatchPool


def adopt(home: RemotePath, run: Path, folder: Path, pool: PatchPool, encoder: str, data: Inputs) -> None:
    """Let a run know of the finished bank at an address, if there is one: take its index.

    Parameters
    ----------
    home : RemotePath
        Where it would be.
    run, folder : Path
        The run, and where it has this bank, or would have it.
    pool : PatchPool
    encoder : str
        For which it is taken; empty: for whichever reads the same patches.
    data : Inputs
        What the patches are cut from, as of `patches.images_of`.

    Raises
    ------
    DamagedError
        If it is of other patches, or damaged.
    AddressError
    """
    if home_of(folder) != home and is_whole(home):
        index = read_index(home, pool).at(home)
        vouch(run, folder, encoder, data)
        keep_index(index, folder)


def keep_index(index: BankIndex, folder: Path) -> None:
    """Let the folder of a run hold the index of files that lie at an address, and none of these."""
    index.write(folder, folder)
    for path in folder.glob("*.npy"):  # half-written ones, too
        remove(path)


def vouch(run: Path, folder: Path, encoder: str, data: Inputs) -> None:
    """Write what the patches of a bank are cut from."""
    name = folder.relative_to(run).as_posix()
    write_record(record_path(run, name), Record("patches", encoder, data.of_kinds(LINKS, *IMAGES)))


def take_over(tasks: Sequence[SectionTask[Any]], states: SectionLog) -> None:
    """Take sections that were cut from the same image at the same links, of another bank or of this one elsewhere.

    So a section that is mended, left out or cut anew costs no other one its extraction. Files are linked, or copied by
    the store that holds them: none is ever written to again.

    Parameters
    ----------
    tasks : sequence of SectionTask
        Of the bank that grows.
    states : SectionLog
        Of the same, in its folder.
    """
    folder = states.path.parent
    for path in folder.parent.glob(f"[!.]*/{NAME}"):
        theirs = states if path.parent == folder else SectionLog(path.parent)
        for task in tasks:
            known = theirs.states.get(task.name)
            if known is None or task.output is None or known.key != task.key:
                continue
            file = _place(path.parent, known.result)
            if file in (None, task.output) or states.is_done(task.name, task.key, task.output):
                continue
            if theirs.is_done(task.name, task.key, file):
                copy(file, task.output, folder)
                states.add_done(task.name, task.key, {**known.result, "file": shown(task.output)}, task.output)


def shown(file: Path) -> str:
    """Return what a log calls a file of its bank: by its name, or by its whole address."""
    return str(file) if isinstance(file, RemotePath) else file.name


def _place(folder: Path, result: Any) -> Path | None:
    if not isinstance(result, dict):
        return None
    file = str(result["file"])
    return as_path(file) if is_address(file) else folder / file


def remove_banks(wanted: Path, encoder: str, freshness: Freshness) -> None:
    """Remove banks other than the wanted one: an encoder's, and all that are stale or that nothing vouches for."""
    clear_partial(wanted.parent)
    banks = [path for path in wanted.parent.iterdir() if path.is_dir() or path.suffix == ".npy"]  # a file until 0.1
    for path in banks:
        if path == wanted:
            continue
        bank = f"{wanted.parent.name}/{path.stem}"
        record = freshness.record(bank)
        is_old = record is None or (encoder != "" and record.name == encoder)
        if is_old or freshness.reasons(bank):
            home = home_of(path)
            if isinstance(home, RemotePath):
                log(f"{home}: patches that this run no longer reads; they are not removed there")
            remove(path)
            record_path(freshness.run, bank).unlink(missing_ok=True)
