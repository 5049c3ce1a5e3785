"""Banks that were made before: their sections serve again where nothing about them has changed; then they go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cytomesh.core.files import atomic_path, clear_partial, remove
from cytomesh.core.section_log import NAME, SectionLog
from cytomesh.core.sections import SectionTask
from cytomesh.graph.freshness import Freshness, record_path


def take_over(tasks: Sequence[SectionTask[Any]], states: SectionLog) -> None:
    """Take sections that another bank holds, cut from the same image at the same links.

    So a section that is mended, left out or cut anew costs no other one its extraction. Files are linked: none is ever
    written to again.

    Parameters
    ----------
    tasks : sequence of SectionTask
        Of the bank that grows.
    states : SectionLog
        Of the same, in its folder.
    """
    folder = states.path.parent
    for log in folder.parent.glob(f"[!.]*/{NAME}"):
        if log.parent == folder:
            continue
        theirs = SectionLog(log.parent)
        for task in tasks:
            known = theirs.states.get(task.name)
            if known is None or task.output is None or states.is_done(task.name, task.key, task.output):
                continue
            file = log.parent / str(known.result["file"]) if isinstance(known.result, dict) else None
            if theirs.is_done(task.name, task.key, file) and file is not None:
                _link(file, task.output)
                states.add_done(task.name, task.key, {**known.result, "file": task.output.name}, task.output)


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
            remove(path)
            record_path(freshness.run, bank).unlink(missing_ok=True)


def _link(file: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        try:
            os.link(file, temporary)
        except OSError:  # not on every file system
            shutil.copyfile(file, temporary)
